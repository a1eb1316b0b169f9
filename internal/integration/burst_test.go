//go:build unix

package integration_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
)

// Changes of one session that come at once, within one process, cost a few round trips
// together, and not one conflict for each of the others: who has the turn saves what the
// others wait with, and hands the record on.
func TestBurst(t *testing.T) {
	const most = slow / 2
	for _, cache := range []time.Duration{0, time.Minute} {
		server := redistest.Single(t)
		proxy := redistest.NewProxy(t, server.Addr)
		// Connections are there before, and the scripts known: that is not counted.
		b := redisBackend(t, newRedisClient(t, &redis.Options{Addr: proxy.Addr, PoolSize: slow, MinIdleConns: slow}))
		mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache))
		user := visited(t, mw)
		warm := hold(mw, user, func(int) handle { return count })
		close(warm.release)
		warm.running.Wait()
		was := user.id().visits(t, mw)

		fresh := &browser{user.cookie}
		fresh.must(t, mw, look)
		f := hold(mw, fresh, func(int) handle { return count })
		before := proxy.RoundTrips() // all have the session loaded, or a copy of it
		close(f.release)
		f.running.Wait()
		trips := proxy.RoundTrips() - before
		for _, a := range f.answers {
			require.NoError(t, a.err)
			require.Equal(t, http.StatusOK, a.status)
		}
		t.Logf("%d changes: %d round trips", slow, trips)
		require.LessOrEqual(t, trips, int64(most))
		require.Positive(t, trips)
		require.Equal(t, was+slow, user.id().visits(t, mw))
	}
}
