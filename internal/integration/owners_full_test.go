//go:build unix

package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// A server that has no room for another byte takes no login, and says so; it still
// ends sessions, one and all, and lists what is left.
func TestOwnersOnAFullServer(t *testing.T) {
	server := redistest.Single(t)
	direct := server.Client()
	store, err := redisstore.New(redisClient(t, server.Addr))
	require.NoError(t, err)
	m := ownedManager(t, store, nil)
	list := func(user string) int {
		t.Helper()
		list, err := m.Sessions(t.Context(), user)
		require.NoError(t, err)
		return len(list)
	}
	room := func(text string) { require.NoError(t, direct.ConfigSet(t.Context(), "maxmemory", text).Err()) }

	ann := ownedLogins(t, m, "ann", 6)
	_, err = m.RevokeAll(t.Context(), "bob") // has an epoch
	require.NoError(t, err)
	bob := ownedLogins(t, m, "bob", 4)
	room("1")

	before := direct.DBSize(t.Context()).Val()
	for range 3 {
		_, err = ownedLogin(t.Context(), m, "ann", "")
		require.ErrorIs(t, err, stores.ErrFull)
	}
	require.Equal(t, before, direct.DBSize(t.Context()).Val(), "a refused login leaves nothing")
	require.Equal(t, 6, list("ann"))

	// A logout, and the end of one.
	require.NoError(t, ann[0].clone().do(t.Context(), m, func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil }))
	requireOut(t, m, ann[0])
	sessionsOf, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	require.NoError(t, m.Revoke(t.Context(), "ann", sessionsOf[0].Handle))
	require.Equal(t, 4, list("ann"))

	// What is there ends, whether or not there is room for what tells the logins that
	// are under way: where there is none, that is told.
	err = bob[0].do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
		n, err := m.RevokeOthers(ctx, s)
		require.Equal(t, 3, n)
		return err
	})
	require.ErrorIs(t, err, stores.ErrFull, "the epoch is longer now")
	require.Equal(t, 1, list("bob"))
	requireIn(t, m, bob[0])
	n, err := m.RevokeAll(t.Context(), "bob")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = m.RevokeAll(t.Context(), "ann")
	require.ErrorIs(t, err, stores.ErrFull, "her first epoch")
	require.Equal(t, 4, n)
	require.Equal(t, before, direct.DBSize(t.Context()).Val(), "all are stubs")

	room("0")
	n, err = m.RevokeAll(t.Context(), "ann")
	require.NoError(t, err)
	require.Zero(t, n)
	for _, j := range append(ann, bob...) {
		requireOut(t, m, j)
	}
	require.Zero(t, aliveInRedis(t, direct))
}
