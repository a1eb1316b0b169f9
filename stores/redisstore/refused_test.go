//go:build unix

package redisstore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// soon is what a lone request may wait for the answer that Redis refuses
// connections. The client's own dials and retries take 1.8 s.
const soon = 250 * time.Millisecond

// A server that refuses connections is an outage at once, by whatever way it is
// asked, and whether or not there were connections before. When it is back it
// serves.
func TestRefusedConnections(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, opts *redis.Options) redis.UniversalClient{
		"plain": func(t *testing.T, opts *redis.Options) redis.UniversalClient { return newClient(t, opts) },
		"contexts enabled": func(t *testing.T, opts *redis.Options) redis.UniversalClient {
			opts.ContextTimeoutEnabled = true
			return newClient(t, opts)
		},
		"auto-pipelining": func(t *testing.T, opts *redis.Options) redis.UniversalClient {
			client, err := newClient(t, opts).AutoPipeline()
			require.NoError(t, err)
			return client
		},
		"async auto-pipelining": func(t *testing.T, opts *redis.Options) redis.UniversalClient {
			client, err := newClient(t, opts).AsyncAutoPipeline()
			require.NoError(t, err)
			return client
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Single(t)
			store := newStore(t, make(t, &redis.Options{Addr: server.Addr}))
			tok := newToken()
			rev := save(t, store, tok, "before", "")
			server.Kill()
			for range 2 { // at first it has connections that are dead
				requireRefused(t, store, tok, rev)
			}
			server.Start()
			server.WaitReady()
			redistest.Wait(t, "the client dials again", func() bool {
				_, _, err := store.Save(t.Context(), newToken(), record("after", ""))
				return err == nil
			})
		})
	}
}

// requireRefused makes every call of a store on its own.
func requireRefused(t *testing.T, store *redisstore.Store, tok stores.Token, rev stores.Revision) {
	t.Helper()
	for what, call := range calls(store, tok, rev) {
		took := time.Hour
		for range 3 { // a machine that is busy can be late once
			began := time.Now()
			err := call(t.Context())
			took = min(took, time.Since(began))
			requireOutage(t, err)
			require.ErrorIs(t, err, syscall.ECONNREFUSED, what)
			if took < soon {
				break
			}
		}
		require.Less(t, took, soon, what)
	}
}

func TestRefusedByACluster(t *testing.T) {
	cluster := redistest.Cluster(t)
	store := newStore(t, cluster.Client())
	cold := newStore(t, cluster.Client()) // knows no node yet
	tok := newToken()
	rev := save(t, store, tok, "before", "")
	for _, server := range cluster.Servers {
		server.Kill()
	}
	requireRefused(t, store, tok, rev)
	requireRefused(t, cold, tok, rev)
}

// One node of a Cluster that is down ends no call to the others.
func TestRefusedByOneNode(t *testing.T) {
	cluster := redistest.Cluster(t)
	client := cluster.Client()
	store := newStore(t, client)
	var live, dead []stores.Token
	for len(live) < 20 || len(dead) < 2 {
		tok := newToken()
		save(t, store, tok, "data", "")
		node, err := client.MasterForKey(t.Context(), keyOf(tok))
		require.NoError(t, err)
		if node.Options().Addr == cluster.Addrs[0] {
			dead = append(dead, tok)
		} else {
			live = append(live, tok)
		}
	}
	cluster.Servers[0].Kill()
	// Less than the Cluster needs to see that it is broken.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var running sync.WaitGroup
	var loads, failed atomic.Int64
	for _, tok := range live {
		running.Go(func() {
			for ctx.Err() == nil {
				loads.Add(1)
				if _, err := store.Load(t.Context(), tok); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	for _, tok := range dead {
		running.Go(func() {
			for ctx.Err() == nil {
				store.Load(t.Context(), tok)
			}
		})
	}
	running.Wait()
	require.Less(t, failed.Load(), int64(20), "of %d", loads.Load()) // some, where the machine is busy
}

func TestRefusedBehindSentinel(t *testing.T) {
	guarded := redistest.Sentinel(t)
	store := newStore(t, guarded.Client())
	tok := newToken()
	rev := save(t, store, tok, "before", "")
	guarded.Replica.Kill()
	guarded.Primary.Kill()
	requireRefused(t, store, tok, rev)
}
