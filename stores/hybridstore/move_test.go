package hybridstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	text   = sessions.Key[string]("text")
	visits = sessions.Key[int]("visits")
)

func newManager(t testing.TB, server stores.Store) *sessions.Manager {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	m, err := sessions.NewManager(newStore(t, server), sessions.Config{Encryptor: enc, Lifetime: lifetime, Room: room})
	require.NoError(t, err)
	return m
}

// visit counts and sets the text, and returns the client's token.
func visit(t testing.TB, m *sessions.Manager, tok stores.Token, size int) (stores.Token, error) {
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

func requireVisits(t testing.TB, m *sessions.Manager, tok stores.Token, n, size int) {
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
	m := newManager(t, newMemory(t))
	places := map[bool]int{}
	for size := room/2 + 100; size < room; size++ {
		tok, err := visit(t, m, stores.Token{}, size)
		require.NoError(t, err)
		require.LessOrEqual(t, len(tok.Payload), room)
		places[tok.Payload != ""]++
		requireVisits(t, m, tok, 1, size)
	}
	require.Greater(t, places[true], 50)
	require.Greater(t, places[false], 50)
}

// The server is down when a session has to move there: the cookie is as good as
// it was, and the session moves when the server is back.
func TestServerDownWhileMoving(t *testing.T) {
	server := &faulty{Store: newMemory(t), upFor: -1}
	m := newManager(t, server)
	tok, err := visit(t, m, stores.Token{}, 10)
	require.NoError(t, err)

	server.upFor = 0
	same, err := visit(t, m, tok, room)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, tok.Payload, same.Payload)
	requireVisits(t, m, tok, 1, 10)
	tok, err = visit(t, m, tok, 20)
	require.NoError(t, err, "a small session needs no server")

	server.upFor = -1
	tok, err = visit(t, m, tok, room)
	require.NoError(t, err)
	require.Empty(t, tok.Payload)
	requireVisits(t, m, tok, 3, room)
}

// loses carries saves out and loses the reply to the first of them.
type loses struct {
	*memstore.Store
	lost bool
}

func (l *loses) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	tok, rev, err := l.Store.Save(ctx, tok, rec)
	if !l.lost {
		l.lost = true
		return stores.Token{}, "", errDown
	}
	return tok, rev, err
}

// The reply to the move is lost, so the client keeps the cookie from before. It
// still works, and finds the session on the server as soon as it needs it.
func TestLostReplyWhileMoving(t *testing.T) {
	server := &loses{Store: newMemory(t)}
	m := newManager(t, server)
	tok, err := visit(t, m, stores.Token{}, 10)
	require.NoError(t, err)
	same, err := visit(t, m, tok, room)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, tok.Payload, same.Payload)
	require.Equal(t, 1, server.Len())
	requireVisits(t, m, tok, 1, 10)

	moved, err := visit(t, m, tok, 2*room)
	require.NoError(t, err)
	require.Empty(t, moved.Payload)
	requireVisits(t, m, moved, 3, 2*room)
	require.Equal(t, 1, server.Len())
}

// Two requests outgrow the cookie at once: both find their changes on the server.
func TestTwoRequestsMove(t *testing.T) {
	m := newManager(t, newMemory(t))
	tok, err := visit(t, m, stores.Token{}, 10)
	require.NoError(t, err)
	var moved stores.Token
	for range 2 { // from the same cookie
		moved, err = visit(t, m, tok, room)
		require.NoError(t, err)
		require.Empty(t, moved.Payload)
		require.True(t, moved.ID.Equal(tok.ID))
	}
	requireVisits(t, m, moved, 3, room)
}
