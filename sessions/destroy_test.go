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
		requireRejected(t, m, moved, sessions.Unknown)
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
