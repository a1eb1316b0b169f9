//go:build unix

package redisstore_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// While a primary fails and a replica takes its place: a logout that was acknowledged,
// by who waits for the replicas, is seen by every read that begins more than the limit
// after it, from wherever that is answered; there is no read that finds nothing, and
// the store answers again.
func TestStalenessWithFailover(t *testing.T) {
	for name, setup := range map[string]func(t *testing.T) (reader, writer redis.UniversalClient, limit time.Duration, failOver func()){
		"tracking": func(t *testing.T) (redis.UniversalClient, redis.UniversalClient, time.Duration, func()) {
			p := newPair(t)
			const limit = 2 * time.Second
			o := tracking("", limit)
			o.MaxRetries, o.DialerRetries, o.Dialer = -1, 1, p.dial
			return newClient(t, o), p.client(t), limit, func() { p.failOver(t) }
		},
		"Sentinel": func(t *testing.T) (redis.UniversalClient, redis.UniversalClient, time.Duration, func()) {
			guarded := redistest.Sentinel(t)
			return guarded.ReaderClient(), guarded.Client(), 0, guarded.FailOver
		},
		"Cluster": func(t *testing.T) (redis.UniversalClient, redis.UniversalClient, time.Duration, func()) {
			nodes := redistest.ReplicatedCluster(t)
			reader := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes.Addrs, ContextTimeoutEnabled: true, RouteRandomly: true})
			t.Cleanup(func() { reader.Close() })
			return reader, nodes.Client(), 0, nodes.Servers[0].Kill
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readers, writers, limit, failOver := setup(t)
			store, plain := newStale(t, readers), newStore(t, writers)
			writer := newStore(t, writers, redisstore.WithReplicas(1, time.Second))
			const n = 400
			keys, acked := make([]stores.Key, n), make([]atomic.Pointer[time.Time], n)
			for i := range keys {
				keys[i] = newKey()
				save(t, writer, keys[i], "live", "")
				require.Equal(t, "live", peek(t, store, keys[i]))
			}
			var done atomic.Bool
			var running sync.WaitGroup
			running.Go(func() {
				defer done.Store(true)
				for i, key := range keys {
					if writer.Put(t.Context(), key, record("ended", "")) == nil {
						now := time.Now()
						acked[i].Store(&now)
					}
					time.Sleep(2 * time.Millisecond)
					if i == n/2 {
						failOver()
						return
					}
				}
			})
			var reads, failed int
			look := func() {
				for i, key := range keys {
					at, began := acked[i].Load(), time.Now()
					rec, err := store.Load(t.Context(), key, stores.MayBeStale)
					if err != nil {
						require.ErrorIs(t, err, stores.ErrUnavailable)
						failed++
						return
					}
					reads++
					if at != nil && began.Sub(*at) > limit {
						require.Equal(t, "ended", string(rec.Data), "acknowledged %v before", began.Sub(*at))
					}
				}
			}
			for !done.Load() {
				look()
			}
			running.Wait()
			began := time.Now()
			redistest.Wait(t, "the store answers again", func() bool {
				look()
				for _, key := range keys {
					if _, err := plain.Load(t.Context(), key, stores.Fresh); err != nil {
						require.ErrorIs(t, err, stores.ErrUnavailable)
						return false
					}
				}
				return true
			})
			t.Logf("again after %v", time.Since(began))
			look()
			ended := 0
			for i, key := range keys {
				if acked[i].Load() != nil {
					requireData(t, plain, key, "ended")
					ended++
				}
			}
			require.Positive(t, ended)
			t.Logf("%d logouts acknowledged; %d reads, and %d failed", ended, reads, failed)
		})
	}
}
