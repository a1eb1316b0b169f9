//go:build unix

package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
)

// Two processes know of each other only through Redis. They lose nothing either,
// whether every reply comes through or one in a hundred does not.
func TestTwoProcesses(t *testing.T) {
	for _, line := range []struct {
		name  string
		every int64
	}{{"good line", 0}, {"lossy line", 100}} {
		for _, cache := range caches {
			t.Run(line.name+", "+cache.name, func(t *testing.T) {
				server := redistest.Single(t)
				proxy := redistest.NewProxy(t, server.Addr)
				b := redisBackend(t, server.Client(), server.Client())
				key := encrypt.GenerateKey()
				mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t, key)), middleware.WithCookieCache(cache.fresh))
				counter, keys := new(browser), new(browser)
				counter.must(t, mw, setUser("someone"))
				keys.must(t, mw, setUser("someone"))

				o := orders{
					Addr: proxy.Addr, Key: key.ExportSecret(), Cache: cache.fresh,
					Counter: counter.cookie, Keys: keys.cookie,
					Clients: clients / 2, Each: each, First: 0, Last: clients / 2,
				}
				one := startHelper(t, o)
				o.First, o.Last = clients/2, clients
				two := startHelper(t, o)
				proxy.LoseEvery(line.every)
				one.start(t)
				two.start(t)
				one.wait(t)
				two.wait(t)

				t.Logf("%d round trips, %d replies lost", proxy.RoundTrips(), proxy.Lost())
				require.Equal(t, clients*each, counter.id().visits(t, mw))
				requireKeys(t, mw, keys.id(), clients)
				if line.every > 0 {
					require.Greater(t, proxy.Lost(), proxy.RoundTrips()/200)
				}
				require.Equal(t, 2, b.records(t))
			})
		}
	}
}
