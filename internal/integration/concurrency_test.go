//go:build unix

package integration_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

const (
	clients = 64
	each    = 50
)

// No change is lost, on whichever store and however many requests of one session
// come at once.
func TestRequestsAtOnce(t *testing.T) {
	t.Parallel()
	for _, where := range backends {
		t.Run(where.name, func(t *testing.T) {
			t.Parallel()
			b := where.make(t)
			for _, cache := range caches {
				t.Run(cache.name, func(t *testing.T) {
					mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh))
					atOnce(t, mw, many(20, each), setUser("someone"))
				})
			}
			require.Equal(t, 2*len(caches), b.records(t))
		})
	}
}

// A hybrid store's session loses nothing from when it is on the server.
func TestHybridRequestsAtOnce(t *testing.T) {
	b := hybrid(t)
	mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)))
	atOnce(t, mw, many(20, each), func(s *sessions.Session) error { return text.Set(s, string(make([]byte, 4000))) })
	require.Equal(t, 2, b.records(t))
}

// Nor is any lost, and none counted twice, where one reply in fifty is lost
// on the way and go-redis sends the command again.
func TestRequestsAtOnceOnALossyLine(t *testing.T) {
	for _, cache := range caches {
		t.Run(cache.name, func(t *testing.T) {
			server := redistest.Single(t)
			proxy := redistest.NewProxy(t, server.Addr)
			client := redisClient(t, proxy.Addr)
			b := redisBackend(t, client, server.Client())
			mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh))
			proxy.LoseEvery(50) // of commands: a burst of changes is few of them
			atOnce(t, mw, each, setUser("someone"))
			t.Logf("%d round trips, %d replies lost", proxy.RoundTrips(), proxy.Lost())
			require.Greater(t, proxy.Lost(), proxy.RoundTrips()/200)
			require.Positive(t, proxy.Lost())
			require.Equal(t, 2, b.records(t))
		})
	}
}

// atOnce counts in a session that begins with start, and gives keys to another.
func atOnce(t *testing.T, mw *middleware.Middleware, each int, start handle) {
	t.Helper()
	counter, keys := new(browser), new(browser)
	counter.must(t, mw, start)
	keys.must(t, mw, start)

	run(t, mw, *counter, clients, each)
	require.Equal(t, clients*each, counter.id().visits(t, mw))
	setKeys(t, mw, *keys, 0, clients)
	requireKeys(t, mw, keys.id(), clients)
}

// run counts in b's session from many browsers.
func run(t reporter, mw *middleware.Middleware, b browser, clients, each int) {
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			own := b
			for range each {
				if a := own.send(mw, count); a.status != http.StatusOK || a.err != nil {
					t.Errorf("status %d: %v", a.status, a.err)
				}
			}
		})
	}
	running.Wait()
}

// setKeys sets the keys from first to before last, each in a request of its own,
// all of which have the same session loaded before the first one commits.
func setKeys(t reporter, mw *middleware.Middleware, b browser, first, last int) {
	var loaded, running sync.WaitGroup
	loaded.Add(last - first)
	for i := first; i < last; i++ {
		running.Go(func() {
			own := b
			a := own.send(mw, func(s *sessions.Session) error {
				err := key(i).Set(s, i)
				loaded.Done()
				loaded.Wait()
				return err
			})
			if a.status != http.StatusOK || a.err != nil {
				t.Errorf("status %d: %v", a.status, a.err)
			}
		})
	}
	running.Wait()
}

func key(i int) sessions.Key[int] { return sessions.Key[int](fmt.Sprintf("key %d", i)) }

func requireKeys(t testing.TB, mw *middleware.Middleware, b *browser, n int) {
	t.Helper()
	b.must(t, mw, func(s *sessions.Session) error {
		for i := range n {
			if have, err := key(i).Get(s); err != nil || have != i {
				return fmt.Errorf("%s: %d, %w", key(i), have, err)
			}
		}
		return nil
	})
}
