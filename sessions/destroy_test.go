package sessions_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
)

// Who is told that the session has a new ID by now, and logs out, is out: the
// session ends under whatever ID it has.
func TestDestroyAfterTheSessionMoved(t *testing.T) {
	for _, p := range phases {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		slow, other := load(t, m, tok), load(t, m, tok)
		require.NoError(t, other.Regenerate())
		moved := commit(t, m, other).Token

		increment(t, slow)
		_, err := m.Commit(context.Background(), slow, sessions.Midway)
		require.ErrorIs(t, err, sessions.ErrEnded)
		slow.Destroy()
		c, err := m.Commit(context.Background(), slow, p)
		require.NoError(t, err)
		require.Equal(t, sessions.Keep, c.Action, "the cookie may be a newer login's")
		requireRejected(t, m, moved, sessions.Ended)
		require.Zero(t, st.Len())
	}
}

// The same where another user has logged in with it: that is told, and is no logout.
func TestDestroyAfterAnotherUserLoggedIn(t *testing.T) {
	_, m := setup(t, sessions.Config{Owners: []encrypt.Key{encrypt.GenerateKey()}})
	tok := begin(t, m)
	slow, other := load(t, m, tok), load(t, m, tok)
	require.NoError(t, other.SetOwner(context.Background(), "victim"))
	moved := commit(t, m, other).Token

	increment(t, slow)
	_, err := m.Commit(context.Background(), slow, sessions.Midway)
	require.ErrorIs(t, err, sessions.ErrEnded)
	slow.Destroy()
	_, err = m.Commit(context.Background(), slow, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.Equal(t, "victim", load(t, m, moved).Owner())
}

// After the response has begun the cookie can't be taken away any more; what a server
// can know of the end of a session in it, it is told.
func TestLateDestroyOfAHybrid(t *testing.T) {
	st := newStore(t)
	m := newManager(t, placed{Name: "hybrid", Server: st, Cookie: clientStore{}}, sessions.Config{Room: 1000})
	s := load(t, m, begin(t, m))
	s.Destroy()
	_, err := m.Commit(context.Background(), s, sessions.AfterResponse)
	require.NoError(t, err)
	require.EqualValues(t, 1, st.ends.Load())
}

// A logout while another user's login is written: what had the old ID may not be ended
// by it any more, but what this request has written itself must be.
func TestDestroyDuringALogin(t *testing.T) {
	st, m := setup(t, sessions.Config{Owners: []encrypt.Key{encrypt.GenerateKey()}})
	s := load(t, m, begin(t, m))
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	st.before = on("move", 1, func() error { s.Destroy(); return nil })
	c, err := m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	_, err = m.Commit(t.Context(), s, sessions.Midway)
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.Equal(t, sessions.Remove, commit(t, m, s).Action)
	requireRejected(t, m, c.Token, sessions.Ended)
	require.Zero(t, st.Len())
}
