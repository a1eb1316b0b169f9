//go:build unix

package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

func large(s *sessions.Session) error { return text.Set(s, string(make([]byte, 4000))) }

// A request that began when the session was in the cookie does not bring it back
// under its ID when it has been ended on the server since. What the cookie showed
// it still shows, as every cookie-held session does.
func TestHybridEndedStaysEnded(t *testing.T) {
	for name, end := range map[string]handle{"logout": logout, "new ID": (*sessions.Session).Regenerate} {
		t.Run(name, func(t *testing.T) {
			b := hybrid(t)
			mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithRolling(time.Hour))
			slow := visited(t, mw)
			require.Greater(t, len(slow.cookie), idSize)
			replayed, other := slow.clone(), slow.clone()

			a := slow.send(mw, func(s *sessions.Session) error { // while its handler runs
				other.must(t, mw, large)
				require.Len(t, other.cookie, idSize)
				other.clone().must(t, mw, end)
				return large(s)
			})
			require.Empty(t, a.lines)
			require.Zero(t, other.visits(t, mw), "the session is on the server again")

			a = replayed.send(mw, large)
			require.Empty(t, a.lines)
			require.Equal(t, 1, replayed.visits(t, mw))
			require.Zero(t, other.visits(t, mw), "the session is on the server again")
		})
	}
}

// A server that has no room for a mark still ends sessions.
func TestHybridLogoutOnAFullServer(t *testing.T) {
	server := redistest.Single(t)
	store, err := hybridstore.New(cookiestore.Sealed(), redisBackend(t, redisClient(t, server.Addr), server.Client()).store)
	require.NoError(t, err)
	mw := middlewareOf(t, store, middleware.WithEncryptor(ring(t)))
	b := visited(t, mw)
	b.must(t, mw, large)
	kept := b.clone()
	require.NoError(t, server.Client().ConfigSet(t.Context(), "maxmemory", "1").Err())
	b.must(t, mw, logout)
	require.Zero(t, kept.visits(t, mw))
}
