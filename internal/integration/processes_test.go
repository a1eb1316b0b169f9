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

// Two processes know of each other only through Redis. They lose nothing either.
func TestTwoProcesses(t *testing.T) {
	for _, cache := range caches {
		t.Run(cache.name, func(t *testing.T) { twoProcesses(t, cache.fresh) })
	}
}

func twoProcesses(t *testing.T, fresh time.Duration) {
	server := redistest.Single(t)
	b := redisBackend(t, server.Client(), server.Client())
	key := encrypt.GenerateKey()
	mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t, key)), middleware.WithCookieCache(fresh))
	counter, keys := new(browser), new(browser)
	counter.must(t, mw, setUser("someone"))
	keys.must(t, mw, setUser("someone"))

	o := orders{
		Addr: server.Addr, Key: key.ExportSecret(), Cache: fresh,
		Counter: counter.cookie, Keys: keys.cookie,
		Clients: clients / 2, Each: each, First: 0, Last: clients / 2,
	}
	one := startHelper(t, o)
	o.First, o.Last = clients/2, clients
	two := startHelper(t, o)
	one.start(t)
	two.start(t)
	one.wait(t)
	two.wait(t)

	require.Equal(t, clients*each, counter.id().visits(t, mw))
	requireKeys(t, mw, keys.id(), clients)
	require.Equal(t, 2, b.records(t))
}
