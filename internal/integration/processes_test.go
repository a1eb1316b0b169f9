//go:build unix

package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
)

// Two processes know of each other only through Redis. They lose nothing either,
// whether every reply comes through or one in a hundred does not.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	for _, cache := range caches {
		t.Run(cache.name, func(t *testing.T) { twoProcesses(t, cache.fresh, 0) })
		t.Run(cache.name+", lossy line", func(t *testing.T) { twoProcesses(t, cache.fresh, 100) })
	}
}

// twoProcesses loses one reply in every so many, or none.
func twoProcesses(t *testing.T, fresh time.Duration, every int64) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	b := redisBackend(t, server.Client(), server.Client())
	key := encrypt.GenerateKey()
	mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t, key)), middleware.WithCookieCache(fresh))
	counter, keys := new(browser), new(browser)
	counter.must(t, mw, setUser("someone"))
	keys.must(t, mw, setUser("someone"))

	o := orders{
		Addr: proxy.Addr, Key: key.ExportSecret(), Cache: fresh,
		Counter: counter.cookie, Keys: keys.cookie,
		Clients: clients / 2, Each: each, First: 0, Last: clients / 2,
	}
	one := startHelper(t, o)
	o.First, o.Last = clients/2, clients
	two := startHelper(t, o)
	proxy.LoseEvery(every)
	one.start(t)
	two.start(t)
	one.wait(t)
	two.wait(t)

	t.Logf("%d round trips, %d replies lost", proxy.RoundTrips(), proxy.Lost())
	require.Equal(t, clients*each, counter.id().visits(t, mw))
	requireKeys(t, mw, keys.id(), clients)
	require.Equal(t, 2, b.records(t))
	if every > 0 {
		require.Greater(t, proxy.Lost(), proxy.RoundTrips()/every/2)
	}
}
