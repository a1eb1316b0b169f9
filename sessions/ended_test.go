package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

// stub returns the stub under tok's key.
func stub(t testing.TB, st *store, tok token.Token) record.Stub {
	t.Helper()
	s, ok := record.ParseStub(stored(t, st, tok).Data)
	require.True(t, ok)
	return s
}

// moved gives the session of tok a new ID, in a request of its own.
func moved(t testing.TB, m *sessions.Manager, tok token.Token) token.Token {
	t.Helper()
	s := load(t, m, tok)
	require.NoError(t, s.Regenerate())
	change := commit(t, m, s)
	require.Equal(t, sessions.Replace, change.Action)
	return change.Token
}

// Nothing is deleted: a session ends by a stub, which stays for a while and tells no
// ID.
func TestEndsAreStubs(t *testing.T) {
	for _, life := range []time.Duration{0, time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			st, m := setup(t, sessions.Config{StubLifetime: life})
			want := life
			if life == 0 {
				want = 10 * time.Minute
			}
			first := begin(t, m)
			second := moved(t, m, first)
			require.Equal(t, second.ID.Key(), stub(t, st, first).To)
			require.False(t, stub(t, st, first).OwnerChanged)
			require.WithinDuration(t, time.Now().Add(want), stored(t, st, first).Expires, 0)

			s := load(t, m, second)
			s.Destroy()
			commit(t, m, s)
			require.Equal(t, record.Stub{At: time.Now()}, stub(t, st, second))
			require.WithinDuration(t, time.Now().Add(want), stored(t, st, second).Expires, 0)
			for _, tok := range []token.Token{first, second} {
				for _, secret := range secretTexts(second.ID) {
					require.NotContains(t, string(stored(t, st, tok).Data), secret)
				}
			}
			requireRejected(t, m, first, sessions.Replaced)
			requireRejected(t, m, second, sessions.Ended)
			time.Sleep(want)
			requireRejected(t, m, first, sessions.Unknown)
			requireRejected(t, m, second, sessions.Unknown)
		})
	}
}

// A logout that crosses regenerations, in any order, ends the session.
func TestALogoutFollowsTheSession(t *testing.T) {
	for n := range 5 {
		st, m, process := processes(t, sessions.Config{})
		first := begin(t, m)
		tok := first
		logout := load(t, process, first)
		logout.Destroy()
		for range n {
			tok = moved(t, m, tok)
		}
		use(t, m, tok, true)
		require.Equal(t, sessions.Remove, commit(t, process, logout).Action)
		require.Zero(t, st.Len())
		requireRejected(t, m, tok, sessions.Ended)

		// So does one that comes with an old ID.
		first = begin(t, m)
		tok = first
		for range n {
			tok = moved(t, m, tok)
		}
		if n > 0 {
			s, err := process.Load(t.Context(), first)
			var r *sessions.RejectedError
			require.ErrorAs(t, err, &r)
			require.Equal(t, sessions.Replaced, r.Reason)
			s.Destroy()
			require.Equal(t, sessions.Remove, commit(t, process, s).Action)
			require.Zero(t, st.Len())
		}
	}
}

// Each step of the way may move while the logout looks.
func TestALogoutFollowsASessionThatMovesOn(t *testing.T) {
	for nth := range int32(6) {
		for _, op := range []string{"load", "end"} {
			st, m, process := processes(t, sessions.Config{})
			tok := begin(t, m)
			logout := load(t, process, tok)
			logout.Destroy()
			tok = moved(t, m, tok)
			left := 3
			st.before = func(_ context.Context, c call) error {
				if c.op == op && left > 0 {
					if left--; int32(left) < nth {
						before := st.before
						st.before = nil
						tok = moved(t, m, tok)
						st.before = before
					}
				}
				return nil
			}
			require.Equal(t, sessions.Remove, commit(t, process, logout).Action)
			st.before = nil
			require.Zero(t, st.Len())
			requireRejected(t, m, tok, sessions.Ended)
		}
	}
}

// Who planted an ID may not end the session of the user who logged in with it.
func TestALogoutStopsWhereTheOwnerChanged(t *testing.T) {
	store := newStore(t)
	var ev events
	o := newOwnersOf(t, store, func(c *sessions.Config) { c.Hooks = ev.hooks() })
	planted := begin(t, o.m)
	attacker := o.load(planted)
	s := o.load(planted)
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	mine := commit(t, o.m, s).Token
	require.True(t, stub(t, store, planted).OwnerChanged)

	attacker.Destroy()
	change, err := o.m.Commit(t.Context(), attacker, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.Equal(t, sessions.Change{}, change)
	later, err := o.m.Load(t.Context(), planted)
	require.Error(t, err)
	later.Destroy()
	_, err = o.m.Commit(t.Context(), later, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.Equal(t, "ann", o.load(mine).Owner())
	require.Len(t, ev.of("ended"), 2)

	// From one user to another too, but not where the same one logs in again.
	again := o.load(mine)
	require.NoError(t, again.SetOwner(t.Context(), "ann"))
	same := commit(t, o.m, again).Token
	require.False(t, stub(t, store, mine).OwnerChanged)
	s = o.load(same)
	require.NoError(t, s.SetOwner(t.Context(), "bob"))
	bobs := commit(t, o.m, s).Token
	require.True(t, stub(t, store, same).OwnerChanged)
	require.Equal(t, "bob", o.load(bobs).Owner())
	require.Empty(t, o.labels("ann"))
}

// A logout that finds nothing at all ends nothing that may go on elsewhere: while the
// stub would still be there, nothing can; later it is not said to be a success.
func TestALogoutThatFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Lifetime: time.Hour})
		tok := begin(t, m)
		time.Sleep(55 * time.Minute)
		s, late := load(t, m, tok), load(t, m, tok)
		s.Destroy()
		late.Destroy()
		time.Sleep(5 * time.Minute) // it expires
		require.Equal(t, sessions.Remove, commit(t, m, s).Action)
		time.Sleep(5*time.Minute + time.Millisecond)
		change, err := m.Commit(t.Context(), late, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.Equal(t, sessions.Change{}, change)
		require.Zero(t, st.Len())

		// Likewise where it came with an old ID, whose stub is gone meanwhile.
		tok = begin(t, m)
		last := moved(t, m, tok)
		s, err = m.Load(t.Context(), tok)
		require.Error(t, err)
		s.Destroy()
		time.Sleep(11 * time.Minute)
		_, err = m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
		load(t, m, last)
	})
}

// A save or create that arrives late finds the stub, and is not carried out.
func TestWhatArrivesLateFindsTheStub(t *testing.T) {
	for what, c := range map[string]struct {
		begin func(*testing.T, *sessions.Manager) *sessions.Session
	}{
		"save": {func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			increment(t, s)
			return s
		}},
		"create": {func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := m.New()
			increment(t, s)
			return s
		}},
		"regenerate": {func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			require.NoError(t, s.Regenerate())
			return s
		}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := c.begin(t, m)
				id := s.ID()
				var late []call
				st.before = func(_ context.Context, c call) error {
					if c.op == "save" { // the packet is on its way
						late = append(late, c)
						return errOutage
					}
					return nil
				}
				_, err := m.Commit(t.Context(), s, sessions.Midway)
				require.ErrorIs(t, err, stores.ErrUnavailable)
				st.before = nil
				if what == "save" { // the user logs out
					out := load(t, m, token.Token{ID: id})
					out.Destroy()
					commit(t, m, out)
				}
				alive := st.Len()
				require.NotEmpty(t, late)
				time.Sleep(9 * time.Minute)
				for _, c := range late {
					_, err := st.Store.Save(t.Context(), c.key, c.rec)
					require.ErrorIs(t, err, stores.ErrConflict)
				}
				require.Equal(t, alive, st.Len())
				requireRejected(t, m, token.Token{ID: id}, sessions.Ended)
			})
		})
	}
}

// A hybrid's stubs stay until the session's deadline: a client may hold an older
// record of it for as long.
func TestStubsOfAHybrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		both, err := hybridstore.New(cookiestore.Sealed(), st)
		require.NoError(t, err)
		m := newManager(t, both, sessions.Config{Lifetime: 5 * time.Hour, Room: 1000})
		small := begin(t, m)
		require.NotEmpty(t, small.Payload)
		require.Zero(t, st.writes())
		deadline := time.Now().Add(5 * time.Hour)

		// The logout of a session in the cookie reaches the server.
		time.Sleep(time.Hour)
		s := load(t, m, small)
		s.Destroy()
		require.Equal(t, sessions.Remove, commit(t, m, s).Action)
		require.Equal(t, record.Stub{At: time.Now()}, stub(t, st, small))
		require.WithinDuration(t, deadline, stored(t, st, small).Expires, 0)

		// A replay of it can be read, as with every cookie, and can't come back to
		// the server.
		time.Sleep(3 * time.Hour)
		s = load(t, m, small)
		require.NoError(t, name.Set(s, string(make([]byte, 1000))))
		_, err = m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.Zero(t, st.Len())
	})
}

// A logout with a small cookie of the past ends what has moved to the server.
func TestHybridLogoutWithAnOldCookie(t *testing.T) {
	st := newStore(t)
	both, err := hybridstore.New(cookiestore.Sealed(), st)
	require.NoError(t, err)
	m := newManager(t, both, sessions.Config{Lifetime: 5 * time.Hour, Room: 1000})
	small := begin(t, m)
	s := load(t, m, small)
	require.NoError(t, name.Set(s, string(make([]byte, 1000))))
	large := commit(t, m, s).Token
	require.Empty(t, large.Payload)
	require.Equal(t, 1, st.Len())

	s = load(t, m, small)
	s.Destroy()
	require.Equal(t, sessions.Remove, commit(t, m, s).Action)
	require.Zero(t, st.Len())
	requireRejected(t, m, large, sessions.Ended)
}

// A copy that is not older than the cookie cache's time says nothing of an end. Who
// must know asks, also where the session's touch is due.
func TestCommitConfirmsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{CookieCache: time.Minute, Rolling: time.Hour, TouchInterval: time.Nanosecond})
		tok := begin(t, m)
		for _, pause := range []time.Duration{0, 30 * time.Second} {
			time.Sleep(pause)
			s := load(t, m, tok)
			change, err := m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			if change.Action == sessions.Replace {
				tok = change.Token
			}
		}
		st.end(t, tok.ID.Key())
		s := load(t, m, tok)
		require.NotNil(t, s)
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, sessions.ErrEnded)
	})
}

// An encryptor can't open what it has not sealed, and a stub is sealed by nobody: it
// counts whatever the key is.
func TestStubsNeedNoKey(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	first := begin(t, m)
	second := moved(t, m, first)
	s := load(t, m, second)
	s.Destroy()
	commit(t, m, s)
	other := newManager(t, st, sessions.Config{})
	requireRejected(t, other, first, sessions.Replaced)
	requireRejected(t, other, second, sessions.Ended)

	tok := begin(t, m)
	ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	_, err = newManager(t, st, sessions.Config{Encryptor: ring}).Load(t.Context(), tok)
	require.ErrorIs(t, err, sessions.ErrUnreadable)
}
