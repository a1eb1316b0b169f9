//go:build unix

package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// The contract, with every client that a store can be given.
func TestContract(t *testing.T) {
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server { return newStore(t, way.client) }})
		})
	}
	t.Run("Sentinel", func(t *testing.T) {
		t.Parallel()
		guarded := redistest.Sentinel(t)
		client := guarded.Client()
		cfg := storetest.Config{New: func(t *testing.T) stores.Server { return newStore(t, client) }}
		storetest.Run(t, cfg)
		guarded.FailOver()
		redistest.Wait(t, "the client has found the new primary", func() bool {
			return newStore(t, client).Put(t.Context(), newKey(), record("any", "")) == nil
		})
		storetest.Run(t, cfg)
	})
}

// The contract, where something fails.
func TestContractWithFaults(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	nowhere := redistest.Single(t)
	nowhere.Kill()
	frozen := redistest.Single(t)
	frozen.Freeze()
	proxy := redistest.NewProxy(t, server.Addr)
	for name, test := range map[string]struct {
		dead  *redistest.Server
		lossy redis.Options
	}{
		"nobody listens":       {nowhere, redis.Options{MaxRetries: -1}},
		"the server is frozen": {frozen, redis.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server { return newStore(t, server.Client()) },
				Unreachable: func(t *testing.T) stores.Server {
					return newStore(t, newClient(t, &redis.Options{Addr: test.dead.Addr}), redisstore.WithTimeout(100*time.Millisecond))
				},
				Lossy: func(t *testing.T) stores.Server {
					test.lossy.Addr = proxy.Addr
					proxy.LoseEvery(5)
					t.Cleanup(func() { proxy.LoseEvery(0) })
					return newStore(t, newClient(t, &test.lossy))
				},
				Small: func(t *testing.T) stores.Server {
					return newStore(t, redistest.Single(t, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction").Client())
				},
			})
		})
	}
	require.Positive(t, proxy.Lost())
}
