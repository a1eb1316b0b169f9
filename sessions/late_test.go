package sessions_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

func TestLateChanges(t *testing.T) {
	late := func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
		t.Helper()
		change, err := m.Commit(t.Context(), s, sessions.AfterResponse)
		require.NoError(t, err)
		require.NotEqual(t, sessions.Replace, change.Action)
	}
	tooLate := func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
		t.Helper()
		change, err := m.Commit(t.Context(), s, sessions.AfterResponse)
		require.ErrorIs(t, err, sessions.ErrTooLate, "who asks whether it is stored must be told")
		require.NotEqual(t, sessions.Replace, change.Action)
	}
	t.Run("on a server", func(t *testing.T) {
		var ev events
		_, m := setup(t, sessions.Config{Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		commit(t, m, s)
		increment(t, s)
		late(t, m, s)
		requireCount(t, m, tok, 2)
		require.Empty(t, ev.of("late change"))
	})
	t.Run("held by the client", func(t *testing.T) {
		var ev events
		m := newManager(t, clientStore{}, sessions.Config{Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		tok = commit(t, m, s).Token
		_, err := count.Update(s, func(n int) int { return n + 1 })
		require.ErrorIs(t, err, sessions.ErrTooLate)
		require.ErrorIs(t, name.Set(s, "Grace"), sessions.ErrTooLate)
		require.ErrorIs(t, name.Delete(s), sessions.ErrTooLate)
		require.NoError(t, name.Set(s, "Ada"), "it is so already")
		tooLate(t, m, s)
		requireCount(t, m, tok, 2)
		n, err := count.Get(s)
		require.NoError(t, err)
		require.Equal(t, 2, n, "the session shows what was discarded")
		require.Len(t, ev.of("late change"), 1)
		require.Equal(t, tok.ID.Key(), ev.of("late change")[0].Key)
		late(t, m, s)
		require.Len(t, ev.of("late change"), 1, "reported twice")
	})
	t.Run("ended at the client", func(t *testing.T) {
		var ev events
		m := newManager(t, clientStore{}, sessions.Config{Hooks: ev.hooks()})
		s := load(t, m, begin(t, m))
		commit(t, m, s)
		s.Destroy()
		tooLate(t, m, s)
		require.Len(t, ev.of("late change"), 1, "the token lives on, and nobody is told")
		require.Empty(t, ev.of("destroyed"))
	})
	t.Run("new", func(t *testing.T) {
		var ev events
		st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
		s := m.New()
		s.ID()
		commit(t, m, s)
		late(t, m, s)
		require.Empty(t, ev.of("late change"))
		require.ErrorIs(t, count.Set(s, 1), sessions.ErrTooLate)
		require.ErrorIs(t, s.SetLabel("phone"), sessions.ErrTooLate)
		require.ErrorIs(t, s.SetAuthenticated(time.Now()), sessions.ErrTooLate)
		tooLate(t, m, s)
		require.Zero(t, st.Len())
		require.Len(t, ev.of("late change"), 1)
	})
	t.Run("Destroy removes the record", func(t *testing.T) {
		var ev events
		st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		commit(t, m, s)
		s.Destroy()
		late(t, m, s)
		require.Zero(t, st.Len())
		require.Empty(t, ev.of("late change"))
		require.Len(t, ev.of("destroyed"), 1)
	})
	t.Run("what begins after a late Destroy is discarded", func(t *testing.T) {
		var ev events
		st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		commit(t, m, s)
		increment(t, s)
		s.Destroy()
		require.ErrorIs(t, count.Set(s, 9), sessions.ErrTooLate)
		tooLate(t, m, s)
		require.Zero(t, st.Len())
		require.Len(t, ev.of("late change"), 1)
	})
	t.Run("a regeneration that comes too late", func(t *testing.T) {
		var ev events
		_, m := setup(t, sessions.Config{Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		increment(t, s)
		tooLate(t, m, s)
		requireCount(t, m, tok, 1)
		require.Len(t, ev.of("late change"), 1)
		require.True(t, s.ID().Equal(tok.ID))
	})
	t.Run("nothing is read again or touched", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			st, m := setup(t, sessions.Config{Rolling: time.Hour})
			s := load(t, m, begin(t, m))
			time.Sleep(30 * time.Minute)
			writes := st.writes()
			late(t, m, s)
			require.Equal(t, writes, st.writes(), "the cookie's Max-Age could not follow")
		})
	})
}

// A new ID that an outage kept from being written is given to nobody any more.
func TestLateRegeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		st.before = down(errOutage, "save")
		_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		st.before = nil
		require.True(t, s.ID().Equal(tok.ID), "the session keeps the ID that the client has")
		_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		requireCount(t, m, tok, 1)
		require.Equal(t, 1, st.Len())
	})
}
