package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// errForeign is of a store that forgets rule 3.
var errForeign = errors.New("i/o timeout")

var phases = []sessions.Phase{sessions.Midway, sessions.BeforeResponse, sessions.AfterResponse}

var writings = map[string]struct {
	start func(*testing.T, *sessions.Manager) *sessions.Session
	op    string
}{
	"save":   {func(t *testing.T, m *sessions.Manager) *sessions.Session { return load(t, m, begin(t, m)) }, "save"},
	"create": {func(_ *testing.T, m *sessions.Manager) *sessions.Session { return m.New() }, "save"},
	"first step of regenerate": {func(t *testing.T, m *sessions.Manager) *sessions.Session {
		s := load(t, m, begin(t, m))
		require.NoError(t, s.Regenerate())
		return s
	}, "save"},
	"second step of regenerate": {func(t *testing.T, m *sessions.Manager) *sessions.Session {
		s := load(t, m, begin(t, m))
		require.NoError(t, s.Regenerate())
		return s
	}, "move"},
}

// A write whose error is not known to mean "not written" may have been written,
// whatever the store calls it. The commit looks, and applies it once.
func TestUnknownErrorIsLookedInto(t *testing.T) {
	for what, c := range writings {
		for _, carriedOut := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/carried out %v", what, carriedOut), func(t *testing.T) {
				var ev events
				st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
				s := c.start(t, m)
				n, err := count.GetOr(s, 0)
				require.NoError(t, err)
				increment(t, s)
				fails := on(c.op, 1, func() error { return errForeign })
				if st.before = fails; carriedOut {
					st.before, st.after = nil, fails
				}
				commit(t, m, s)
				requireCount(t, m, token.Token{ID: s.ID()}, n+1)
				require.Equal(t, 1, st.Len())
				require.Empty(t, ev.of("store error"))
			})
		}
	}
}

// Where it does not find out, it says so, with the cause, and does not try again.
func TestUnknownErrorIsDoubted(t *testing.T) {
	for what, c := range writings {
		for _, carriedOut := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/carried out %v", what, carriedOut), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var ev events
					st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
					s := c.start(t, m)
					increment(t, s)
					if fails := down(errForeign, c.op); carriedOut {
						st.after = down(errForeign, c.op, "load")
					} else {
						st.before = fails
					}
					var writes []int
					for _, phase := range phases {
						change, err := m.Commit(t.Context(), s, phase)
						require.ErrorIs(t, err, stores.ErrUnavailable)
						require.ErrorIs(t, err, errForeign)
						require.Equal(t, sessions.Change{}, change)
						require.Len(t, ev.of("store error"), 1)
						writes = append(writes, st.writes())
					}
					require.Equal(t, writes[0], writes[2], "written again")
				})
			})
		}
	}
}

// Three requests count three, also where a store calls a lost reply by a name of
// its own and each commits midway and at its end.
func TestUnknownErrorCountsOnce(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	st.after = on("save", 2, func() error { return errForeign })
	for range 3 {
		s := load(t, m, tok)
		increment(t, s)
		for _, phase := range phases {
			_, err := m.Commit(t.Context(), s, phase)
			require.NoError(t, err)
		}
	}
	requireCount(t, m, tok, 1+3)
}

// A logout whose reply was lost is found to be one, whatever the error; where that
// can't be found out it can be tried again.
func TestUnknownErrorOfADestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		for _, fails := range []func(){
			func() { st.before = on("end", 1, func() error { return errForeign }) },
			func() { st.after = on("end", 1, func() error { return errForeign }) },
		} {
			tok := begin(t, m)
			s := load(t, m, tok)
			s.Destroy()
			fails()
			require.Equal(t, sessions.Remove, commit(t, m, s).Action)
			requireRejected(t, m, tok, sessions.Ended)
		}
		tok := begin(t, m)
		s := load(t, m, tok)
		s.Destroy()
		st.before = down(errForeign, "end")
		change, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.ErrorIs(t, err, errForeign)
		require.Equal(t, sessions.Change{}, change)
		st.before = nil
		change, err = m.Commit(t.Context(), s, sessions.Midway)
		require.NoError(t, err)
		require.Equal(t, sessions.Remove, change.Action)
		requireRejected(t, m, tok, sessions.Ended)
	})
}

// What a handler was told is not stored is not stored later, with a page that
// says so.
func TestFailedForGoodIsNotTriedAgain(t *testing.T) {
	const big = sessions.Key[string]("big")
	tooLarge := func(m *store) {
		m.before = func(_ context.Context, c call) error {
			if c.op == "save" && len(c.rec.Data) > 1000 {
				return fmt.Errorf("%w: over 1000 bytes", stores.ErrTooLarge)
			}
			return nil
		}
	}
	for what, start := range map[string]func(*testing.T, *sessions.Manager) *sessions.Session{
		"save":   func(t *testing.T, m *sessions.Manager) *sessions.Session { return load(t, m, begin(t, m)) },
		"create": func(t *testing.T, m *sessions.Manager) *sessions.Session { return m.New() },
		"regenerate": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			require.NoError(t, s.Regenerate())
			return s
		},
	} {
		t.Run(what, func(t *testing.T) {
			var ev events
			st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
			s := start(t, m)
			isNew := s.IsNew()
			tooLarge(st)
			require.NoError(t, name.Set(s, "Grace"))
			require.NoError(t, big.Set(s, strings.Repeat("x", 2000)))
			require.NoError(t, s.SetAuthenticated(s.Metadata().Created))
			for range 2 { // whoever asks again is not told that all is well
				change, err := m.Commit(t.Context(), s, sessions.Midway)
				require.ErrorIs(t, err, stores.ErrTooLarge)
				require.Equal(t, sessions.Change{}, change)
			}
			require.Len(t, ev.of("refused"), 1)
			require.Empty(t, ev.of("store error"))

			// The session shows what is stored.
			require.Equal(t, isNew, s.IsNew())
			_, err := big.Get(s)
			require.ErrorIs(t, err, sessions.ErrNoValue)
			require.Zero(t, s.Metadata().Authenticated)
			stored, err := name.GetOr(s, "")
			require.NoError(t, err)
			require.Equal(t, map[bool]string{true: "", false: "Ada"}[isNew], stored)

			writes := st.writes()
			require.Equal(t, sessions.Change{}, commit(t, m, s))
			require.Equal(t, writes, st.writes())
			_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
			require.ErrorIs(t, err, stores.ErrTooLarge)
		})
		t.Run(what+", then another change", func(t *testing.T) {
			st, m := setup(t, sessions.Config{})
			s := start(t, m)
			tooLarge(st)
			require.NoError(t, big.Set(s, strings.Repeat("x", 2000)))
			_, err := m.Commit(t.Context(), s, sessions.Midway)
			require.ErrorIs(t, err, stores.ErrTooLarge)
			require.NoError(t, name.Set(s, "Grace"))
			for range 2 {
				_, err = m.Commit(t.Context(), s, sessions.Midway)
				require.NoError(t, err)
			}
			s = load(t, m, token.Token{ID: s.ID()})
			text, err := name.Get(s)
			require.NoError(t, err)
			require.Equal(t, "Grace", text)
			_, err = big.Get(s)
			require.ErrorIs(t, err, sessions.ErrNoValue)
			require.Equal(t, 1, st.Len())
		})
	}
}

// What comes while a commit fails is not dropped with it.
func TestChangeDuringAFailingCommit(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	require.NoError(t, name.Set(s, "Grace"))
	g := newGate()
	st.before = func(_ context.Context, c call) error {
		if c.op != "save" {
			return nil
		}
		st.before = nil
		g.wait()
		return fmt.Errorf("%w: too many bytes", stores.ErrTooLarge)
	}
	done := make(chan error)
	go func() {
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		done <- err
	}()
	<-g.reached
	increment(t, s)
	close(g.open)
	require.ErrorIs(t, <-done, stores.ErrTooLarge)
	commit(t, m, s)
	s = load(t, m, tok)
	requireCount(t, m, tok, 2)
	text, err := name.Get(s)
	require.NoError(t, err)
	require.Equal(t, "Ada", text)
}

// A logout that fails takes the login that was to follow it along, and is tried
// again alone.
func TestLoginAfterAFailedLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		s.Destroy()
		require.NoError(t, name.Set(s, "Grace"))
		st.before = down(errOutage, "end")
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		st.before = nil
		change, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable, "the login was not written")
		require.Equal(t, sessions.Remove, change.Action)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Zero(t, st.Len())
	})
}

// A record in a cookie that is ours, but of a later version, is an error and no
// new session: its cookie would be overwritten.
func TestLaterVersionInACookie(t *testing.T) {
	ring := newRing(t)
	signing, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	for what, st := range map[string]stores.Store{"sealed": clientStore{}, "signed": signing} {
		c := sessions.Config{Encryptor: ring}
		if what == "signed" {
			c = sessions.Config{WithoutEncryption: true}
		}
		later := c
		later.Serializer = laterVersion{}
		tok := begin(t, newManager(t, st, later))

		var ev events
		c.Hooks = ev.hooks()
		m := newManager(t, st, c)
		s, err := m.Load(t.Context(), received(t, tok))
		require.Nil(t, s, what)
		require.ErrorIs(t, err, sessions.ErrUnreadable, what)
		var r *sessions.RejectedError
		require.False(t, errors.As(err, &r), what)
		require.Len(t, ev.of("store error"), 1)
		require.Empty(t, ev.of("rejected"))

		// What is not ours is rejected, as ever.
		changed := tok
		changed.Payload = swapped(tok.Payload)
		requireRejected(t, m, changed, sessions.Tampered)
	}
}

// The user's affair is a warning, and nothing that the store did wrong.
func TestTooManySessionsIsNoStoreError(t *testing.T) {
	var ev events
	st, m := setup(t, sessions.Config{Owners: []encrypt.Key{encrypt.GenerateKey()}, MaxSessionsPerOwner: 1, Hooks: ev.hooks()})
	for i := range 2 {
		s := m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ada"))
		require.NoError(t, name.Set(s, "Ada"))
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		if i == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, sessions.ErrTooManySessions)
		require.Empty(t, s.Owner(), "the session shows what is stored")
		require.Equal(t, sessions.Change{}, commit(t, m, s), "a login without its owner")
	}
	require.Len(t, ev.of("refused"), 1)
	require.ErrorIs(t, ev.of("refused")[0].Err, sessions.ErrTooManySessions)
	require.Empty(t, ev.of("store error"))
	require.Equal(t, 1, st.Len())
}

// laterVersion writes records in a form that is not known yet.
type laterVersion struct{}

func (laterVersion) Marshal(v any) ([]byte, error)      { return serialize.JSON.Marshal(v) }
func (laterVersion) Unmarshal(data []byte, v any) error { return serialize.JSON.Unmarshal(data, v) }

func (laterVersion) KeepsMarks() bool { return true }

func (laterVersion) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	at := len(dst)
	dst, err := envelope.Join(dst, env)
	if err == nil {
		dst[at]++ // the version
	}
	return dst, err
}

func (laterVersion) Split([]byte) (envelope.Envelope, error) {
	return envelope.Envelope{}, errors.New("not needed")
}

// swapped changes a character in the middle.
func swapped(payload string) string {
	i := len(payload) / 2
	c := "A"
	if payload[i] == 'A' {
		c = "B"
	}
	return payload[:i] + c + payload[i+1:]
}
