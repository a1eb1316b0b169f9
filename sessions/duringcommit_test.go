package sessions_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

func TestChangeDuringCommit(t *testing.T) {
	for what, start := range map[string]func(t *testing.T, m *sessions.Manager) *sessions.Session{
		"save": func(t *testing.T, m *sessions.Manager) *sessions.Session { return load(t, m, begin(t, m)) },
		"create": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := m.New()
			count.Set(s, 1)
			return s
		},
		"regenerate": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			require.NoError(t, s.Regenerate())
			return s
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Run("change", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, func() {
					increment(t, s)
					require.NoError(t, name.Set(s, "Grace"))
				})
				require.NoError(t, err)
				commit(t, m, s)
				requireCount(t, m, token.Token{ID: s.ID()}, 3)
				text, err := name.Get(load(t, m, token.Token{ID: s.ID()}))
				require.NoError(t, err)
				require.Equal(t, "Grace", text)
				require.Equal(t, 1, st.Len())
			})
			t.Run("destroy", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, s.Destroy)
				require.NoError(t, err)
				_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
				require.NoError(t, err)
				require.Zero(t, st.Len())
			})
			t.Run("destroy and begin", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, func() {
					s.Destroy()
					require.NoError(t, count.Set(s, 77))
				})
				require.NoError(t, err)
				change := commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action)
				requireCount(t, m, change.Token, 77)
				require.Equal(t, 1, st.Len())
			})
			t.Run("regenerate", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				first, err := during(t, st, m, s, 1, func() { require.NoError(t, s.Regenerate()) })
				require.NoError(t, err)
				change := commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action)
				require.False(t, change.Token.ID.Equal(first.Token.ID))
				require.True(t, change.Token.ID.Equal(s.ID()))
				requireCount(t, m, change.Token, 2)
				require.Equal(t, 1, st.Len())
			})
		})
	}
}

// What another request wrote and what this one changed while its commit replayed
// are both kept.
func TestChangeDuringReplay(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	increment(t, s)
	_, err := count.Update(other, func(n int) int { return n + 100 })
	require.NoError(t, err)
	require.NoError(t, name.Set(other, "Grace"))
	commit(t, m, other)
	_, err = during(t, st, m, s, 2, func() { increment(t, s) })
	require.NoError(t, err)
	n, err := count.Get(s)
	require.NoError(t, err)
	require.Equal(t, 103, n)
	text, err := name.Get(s)
	require.NoError(t, err)
	require.Equal(t, "Grace", text, "the session goes on with the newer record")
	commit(t, m, s)
	requireCount(t, m, tok, 103)
}

// What came into a commit and can't be replayed on what it wrote is an error. It
// must not be saved over the other request's change.
func TestChangeDuringReplayThatDoesNotDecode(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	require.NoError(t, name.Set(s, "Grace"))
	require.NoError(t, s.Regenerate())
	require.NoError(t, sessions.Key[string](count).Set(other, "a text"))
	commit(t, m, other)
	// Regenerate saves under the new ID, meets the conflict at "moved" and saves
	// again.
	change, err := during(t, st, m, s, 2, func() { increment(t, s) })
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.Equal(t, sessions.Replace, change.Action, "the old ID is dead; without the new one all is lost")
	commit(t, m, s)
	s = load(t, m, change.Token)
	text, err := sessions.Key[string](count).Get(s)
	require.NoError(t, err)
	require.Equal(t, "a text", text)
	text, err = name.Get(s)
	require.NoError(t, err)
	require.Equal(t, "Grace", text)
}

// The session that begins after a Destroy must not suffer because the one before
// it was ended elsewhere.
func TestBeginDuringCommitOfAnEndedSession(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	_, err := during(t, st, m, s, 1, func() {
		st.end(t, tok.ID.Key())
		s.Destroy()
		require.NoError(t, count.Set(s, 77))
	})
	require.ErrorIs(t, err, sessions.ErrEnded)
	change := commit(t, m, s)
	require.Equal(t, sessions.Replace, change.Action)
	requireCount(t, m, change.Token, 77)
	require.Equal(t, 1, st.Len())
}

// twoCommits runs second while first is in the store, and lets both end.
func twoCommits(t *testing.T, st *store, op string, first, between, second func()) {
	g := newGate()
	st.before = on(op, 1, g.wait)
	var wg sync.WaitGroup
	wg.Go(first)
	<-g.reached
	between()
	wg.Go(second)
	for range 10_000 { // time enough for a second that does not wait
		runtime.Gosched()
	}
	close(g.open)
	within(t, wg.Wait)
}

// A logout that comes while the session is created is none that has nothing to
// do: what the first commit has written must go.
func TestDestroyWhileItIsCreated(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	s := m.New()
	increment(t, s)
	twoCommits(t, st, "save",
		func() { m.Commit(t.Context(), s, sessions.Midway) },
		s.Destroy,
		func() {
			change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.NoError(t, err)
			require.Equal(t, sessions.Remove, change.Action)
		})
	require.Zero(t, st.Len())
}

// Commits of one session go one after the other: the second one finds what the
// first has written.
func TestCommitsTakeTurns(t *testing.T) {
	var ev events
	st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	twoCommits(t, st, "save",
		func() { m.Commit(t.Context(), s, sessions.Midway) },
		func() {},
		func() { m.Commit(t.Context(), s, sessions.BeforeResponse) })
	requireCount(t, m, tok, 2)
	require.Len(t, ev.of("saved"), 1)
	require.Empty(t, ev.of("conflict"))
}
