package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

const day = 24 * time.Hour

// bubble runs f in a synctest bubble, once with a store on a server and once
// with one that the client holds.
func bubble(t *testing.T, f func(t *testing.T, st stores.Store, ring encrypt.Encryptor)) {
	t.Run("server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newStore(t), newRing(t)) })
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, clientStore{}, newRing(t)) })
	})
}

// alive tells whether tok names a live session.
func alive(t testing.TB, m *sessions.Manager, tok token.Token) bool {
	t.Helper()
	s, err := m.Load(context.Background(), received(t, tok))
	if err == nil {
		require.Positive(t, s.Remaining())
		return true
	}
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)
	require.Contains(t, []sessions.Reason{sessions.Expired, sessions.Unknown}, r.Reason)
	return false
}

// requireEndsAt moves the time on to the last moment of the session and past it.
func requireEndsAt(t testing.TB, m *sessions.Manager, tok token.Token, at time.Time) {
	t.Helper()
	time.Sleep(time.Until(at) - time.Millisecond)
	require.True(t, alive(t, m, tok), "ended too early")
	time.Sleep(time.Millisecond)
	require.False(t, alive(t, m, tok), "lives too long")
}

// use makes one request that changes nothing, or something, and returns the
// client's token.
func use(t testing.TB, m *sessions.Manager, tok token.Token, change bool) token.Token {
	t.Helper()
	s := load(t, m, tok)
	if change {
		increment(t, s)
	}
	if c := commit(t, m, s); c.Action == sessions.Replace {
		return c.Token
	}
	return tok
}

func TestFixedLifetime(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: time.Hour, PersistentCookie: true})
		start := time.Now()
		tok := begin(t, m)
		for i := range 5 {
			time.Sleep(10 * time.Minute)
			tok = use(t, m, tok, i%2 == 0) // neither use nor writes lengthen it
		}
		s := load(t, m, tok)
		require.Equal(t, 10*time.Minute, s.Remaining())
		require.NoError(t, s.SetLabel("phone"))
		if c := commit(t, m, s); c.Action == sessions.Replace {
			require.Equal(t, 10*time.Minute, c.MaxAge)
			tok = c.Token
		}
		requireEndsAt(t, m, tok, start.Add(time.Hour))
	})
}

// A login starts the absolute lifetime anew: an old visitor's must not end at once.
func TestALoginStartsTheLifetimeAnew(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, c := range []sessions.Config{
			{Encryptor: ring, Lifetime: time.Hour, PersistentCookie: true},
			{Encryptor: ring, Lifetime: time.Hour, Rolling: time.Hour, PersistentCookie: true},
		} {
			m := newManager(t, st, c)
			tok := begin(t, m)
			time.Sleep(59 * time.Minute)
			s := load(t, m, tok)
			require.NoError(t, s.Regenerate())
			require.Equal(t, time.Hour, s.Remaining())
			require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
			change := commit(t, m, s)
			require.Equal(t, time.Hour, change.MaxAge)
			require.Equal(t, time.Hour, load(t, m, change.Token).Remaining())
			requireEndsAt(t, m, change.Token, time.Now().Add(time.Hour))
		}
	})
}

func TestRollingLifetime(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour})
		tok := begin(t, m)
		for i := range 20 {
			time.Sleep(50 * time.Minute)
			tok = use(t, m, tok, i%2 == 0)
		}
		requireEndsAt(t, m, tok, time.Now().Add(time.Hour))
	})
}

func TestAbsoluteCap(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, c := range []struct{ configured, want time.Duration }{{3 * time.Hour, 3 * time.Hour}, {0, 30 * day}} {
			m := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour, Lifetime: c.configured, PersistentCookie: true})
			end := time.Now().Add(c.want)
			tok := begin(t, m)
			for i := 0; time.Until(end) > time.Hour; i++ {
				time.Sleep(50 * time.Minute)
				tok = use(t, m, tok, i%2 == 0)
			}
			// The client and the store are told the same end.
			time.Sleep(5 * time.Minute)
			s := load(t, m, tok)
			increment(t, s)
			change := commit(t, m, s)
			if change.Action == sessions.Replace {
				tok = change.Token
				require.Equal(t, time.Until(end), change.MaxAge)
			}
			require.Equal(t, time.Until(end), s.Remaining())
			if st, ok := st.(*store); ok {
				require.WithinDuration(t, end, stored(t, st, tok).Expires, 0)
			}
			requireEndsAt(t, m, tok, end)
		}
	})
}

func TestLongRollingLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: 90 * day, Rolling: 90 * day})
		tok := begin(t, m)
		end := time.Now().Add(90 * day)
		time.Sleep(60 * day)
		requireEndsAt(t, m, use(t, m, tok, true), end)
	})
}

// Whether the browser keeps the cookie says nothing of how long the session lives.
func TestPersistentCookie(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, persistent := range []bool{false, true} {
			want := time.Duration(0) // until the browser closes
			if persistent {
				want = 30 * day
			}
			m := newManager(t, st, sessions.Config{Encryptor: ring, PersistentCookie: persistent})
			end := time.Now().Add(30 * day)
			s := m.New()
			require.NoError(t, count.Set(s, 1))
			change := commit(t, m, s)
			require.Equal(t, want, change.MaxAge)
			time.Sleep(15 * day)
			requireEndsAt(t, m, use(t, m, change.Token, true), end)

			// "Remember me", or not: the session's own word counts for it, before
			// and after its login.
			for _, own := range []bool{true, false} {
				s = m.New()
				require.NoError(t, s.SetPersistent(own))
				want := time.Duration(0)
				if own {
					want = 30 * day
				}
				change = commit(t, m, s)
				require.Equal(t, want, change.MaxAge)
				s = load(t, m, change.Token)
				require.NoError(t, s.Regenerate())
				change = commit(t, m, s)
				require.Equal(t, want, change.MaxAge)

				s = load(t, m, change.Token)
				require.NoError(t, s.SetPersistent(!own))
				change = commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action, "the client must be told, also where the record is on a server")
				require.Equal(t, 30*day-want, change.MaxAge)
			}
		}
	})
}

// A session's own times are shorter than the configured ones, and end with the next
// login.
func TestLimit(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 10 * time.Hour, Rolling: 2 * time.Hour, PersistentCookie: true})
		limited := func(lifetime, idle time.Duration) (token.Token, *sessions.Session) {
			tok := begin(t, m)
			s := load(t, m, tok)
			require.NoError(t, s.Limit(lifetime, idle))
			change := commit(t, m, s)
			if lifetime > 0 {
				require.Equal(t, sessions.Replace, change.Action, "the cookie's Max-Age is shorter")
			}
			if change.Action == sessions.Replace {
				tok = change.Token
			}
			return tok, load(t, m, tok)
		}
		tok, s := limited(time.Hour, 0)
		require.Equal(t, time.Hour, s.Remaining())
		time.Sleep(50 * time.Minute)
		requireEndsAt(t, m, use(t, m, tok, true), time.Now().Add(10*time.Minute))

		tok, s = limited(0, 30*time.Minute)
		require.Equal(t, 30*time.Minute, s.Remaining())
		start := time.Now()
		for range 5 {
			time.Sleep(25 * time.Minute)
			tok = use(t, m, tok, false)
		}
		require.WithinDuration(t, start.Add(10*time.Hour), load(t, m, tok).Metadata().Deadline, 0)
		requireEndsAt(t, m, tok, time.Now().Add(30*time.Minute))

		tok, s = limited(3*time.Hour, time.Hour)
		require.Equal(t, time.Hour, s.Remaining())
		require.Equal(t, 3*time.Hour, time.Until(s.Metadata().Deadline))
		require.NoError(t, s.Limit(time.Hour, 0))
		require.NoError(t, s.Limit(2*time.Hour, 0))
		require.Equal(t, time.Hour, time.Until(s.Metadata().Deadline), "a later call does not lengthen it")
		s = load(t, m, tok)
		require.NoError(t, s.Regenerate())
		require.Equal(t, 2*time.Hour, s.Remaining())
		require.Equal(t, 10*time.Hour, time.Until(s.Metadata().Deadline))
		change := commit(t, m, s)
		requireEndsAt(t, m, change.Token, time.Now().Add(2*time.Hour))

		s = m.New()
		require.NoError(t, count.Set(s, 1))
		require.NoError(t, s.Limit(time.Minute, 0))
		requireEndsAt(t, m, commit(t, m, s).Token, time.Now().Add(time.Minute))

		for _, bad := range [][2]time.Duration{
			{-1, 0}, {0, -1}, {time.Second - 1, 0}, {0, time.Second - 1}, {10*time.Hour + 1, 0}, {0, 2*time.Hour + 1},
		} {
			require.ErrorIs(t, s.Limit(bad[0], bad[1]), sessions.ErrInvalid, "%v", bad)
		}
	})
	// Where sessions do not roll, one may.
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 10 * time.Hour})
		s := m.New()
		require.NoError(t, count.Set(s, 1))
		require.ErrorIs(t, s.Limit(0, 10*time.Hour+1), sessions.ErrInvalid)
		require.NoError(t, s.Limit(0, time.Hour))
		tok := commit(t, m, s).Token
		for range 5 {
			time.Sleep(50 * time.Minute)
			tok = use(t, m, tok, false)
		}
		requireEndsAt(t, m, tok, time.Now().Add(time.Hour))
	})
}

func TestMetadata(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 3 * time.Hour, Rolling: time.Hour})
		start := time.Now()
		s := m.New()
		require.Equal(t, sessions.Metadata{Created: start, Deadline: start.Add(3 * time.Hour), Expires: start.Add(time.Hour)}, s.Metadata())
		require.Equal(t, time.Hour, s.Remaining())
		require.NoError(t, count.Set(s, 1))
		tok := commit(t, m, s).Token
		same := func(want, got sessions.Metadata) {
			t.Helper()
			require.WithinDuration(t, want.Created, got.Created, 0)
			require.WithinDuration(t, want.Deadline, got.Deadline, 0)
			require.WithinDuration(t, want.Expires, got.Expires, 0)
			require.WithinDuration(t, want.LastSeen, got.LastSeen, 0)
			require.Equal(t, want.Generation, got.Generation)
		}
		want := sessions.Metadata{Created: start, Deadline: start.Add(3 * time.Hour), Expires: start.Add(time.Hour), LastSeen: start, Generation: 1}
		same(want, s.Metadata())
		same(want, load(t, m, tok).Metadata())

		time.Sleep(30 * time.Minute)
		tok = use(t, m, tok, true)
		want.Expires, want.LastSeen, want.Generation = start.Add(90*time.Minute), start.Add(30*time.Minute), 2
		s = load(t, m, tok)
		same(want, s.Metadata())
		time.Sleep(20 * time.Minute)
		require.Equal(t, 40*time.Minute, s.Remaining())
		time.Sleep(time.Hour)
		require.Zero(t, s.Remaining())

		// After Destroy another session begins.
		s.Destroy()
		require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour})
		require.Zero(t, load(t, m, begin(t, m)).Metadata().LastSeen, "reads leave no trace")
	})
}
