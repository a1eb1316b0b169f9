package sessions_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

const (
	text   = sessions.Key[string]("text")
	visits = sessions.Key[int]("visits")
)

// visit counts and sets the text, and returns the client's token.
func visit(t testing.TB, m *sessions.Manager, tok token.Token, size int) (token.Token, error) {
	t.Helper()
	s := m.New()
	if !tok.ID.IsZero() {
		var err error
		s, err = m.Load(t.Context(), tok)
		require.NoError(t, err)
	}
	_, err := visits.Update(s, func(n int) int { return n + 1 })
	require.NoError(t, err)
	require.NoError(t, text.Set(s, strings.Repeat("x", size)))
	change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
	if change.Action == sessions.Replace {
		tok = change.Token
	}
	return tok, err
}

func requireText(t testing.TB, m *sessions.Manager, tok token.Token, n, size int) {
	t.Helper()
	s, err := m.Load(t.Context(), tok)
	require.NoError(t, err)
	got, err := visits.Get(s)
	require.NoError(t, err)
	require.Equal(t, n, got)
	value, err := text.Get(s)
	require.NoError(t, err)
	require.Len(t, value, size)
}

// Around the size at which a session leaves the cookie none is lost: a record for
// the server is sealed otherwise than one for the cookie, and somewhat shorter.
func TestEverySizeFitsSomewhere(t *testing.T) {
	m := newHybrid(t, newStore(t), sessions.Config{})
	places := map[bool]int{}
	for size := room/2 + 100; size < room; size++ {
		tok, err := visit(t, m, token.Token{}, size)
		require.NoError(t, err)
		require.LessOrEqual(t, len(tok.Payload), room)
		places[tok.Payload != ""]++
		requireText(t, m, tok, 1, size)
	}
	require.Greater(t, places[true], 50)
	require.Greater(t, places[false], 50)
}

// The server is down when a session has to move there: the cookie is as good as
// it was, and the session moves when the server is back.
func TestServerDownWhileMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		m := newHybrid(t, st, sessions.Config{})
		tok, err := visit(t, m, token.Token{}, 10)
		require.NoError(t, err)

		st.before = func(context.Context, call) error { return errOutage }
		same, err := visit(t, m, tok, room)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, tok.Payload, same.Payload)
		requireText(t, m, tok, 1, 10)
		tok, err = visit(t, m, tok, 20)
		require.NoError(t, err, "a small session needs no server")

		st.before = nil
		tok, err = visit(t, m, tok, room)
		require.NoError(t, err)
		require.Empty(t, tok.Payload)
		requireText(t, m, tok, 3, room)
	})
}

// A reply to the move that is lost costs nothing but a look.
func TestLostReplyWhileMoving(t *testing.T) {
	st := newStore(t)
	m := newHybrid(t, st, sessions.Config{})
	tok, err := visit(t, m, token.Token{}, 10)
	require.NoError(t, err)
	st.after = on("save", 1, func() error { return errOutage })
	moved, err := visit(t, m, tok, room)
	require.NoError(t, err)
	require.Empty(t, moved.Payload)
	requireText(t, m, moved, 2, room)
	require.EqualValues(t, 1, st.saves.Load())
}

// No reply comes to the move, so the client keeps the cookie from before. It still
// works, and finds the session on the server as soon as it needs it.
func TestNoReplyWhileMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		m := newHybrid(t, st, sessions.Config{})
		tok, err := visit(t, m, token.Token{}, 10)
		require.NoError(t, err)
		st.after = down(errOutage, "save", "load")
		same, err := visit(t, m, tok, room)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, tok.Payload, same.Payload)
		st.after = nil
		require.Equal(t, 1, st.Len())
		requireText(t, m, tok, 1, 10)

		moved, err := visit(t, m, tok, 2*room)
		require.NoError(t, err)
		require.Empty(t, moved.Payload)
		requireText(t, m, moved, 3, 2*room)
		require.Equal(t, 1, st.Len())
	})
}

// Two requests outgrow the cookie at once: both find their changes on the server.
func TestTwoRequestsMove(t *testing.T) {
	m := newHybrid(t, newStore(t), sessions.Config{})
	tok, err := visit(t, m, token.Token{}, 10)
	require.NoError(t, err)
	var moved token.Token
	for range 2 { // from the same cookie
		moved, err = visit(t, m, tok, room)
		require.NoError(t, err)
		require.Empty(t, moved.Payload)
		require.True(t, moved.ID.Equal(tok.ID))
	}
	requireText(t, m, moved, 3, room)
}
