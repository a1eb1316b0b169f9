//go:build unix

package redisstore_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// pair is a primary and a replica that gets everything over a line that a test can
// hold up, and a client that finds whichever is the primary.
type pair struct {
	primary, replica *redistest.Server
	line             *redistest.Proxy
	now              atomic.Pointer[redistest.Server]
}

func newPair(t *testing.T) *pair {
	p := &pair{primary: redistest.Single(t)}
	p.line = redistest.NewProxy(t, p.primary.Addr)
	p.now.Store(p.primary)
	host, port, err := net.SplitHostPort(p.line.Addr)
	require.NoError(t, err)
	p.replica = redistest.Single(t, "--replicaof", host+" "+port)
	p.inStep(t)
	return p
}

func (p *pair) inStep(t *testing.T) {
	client := p.primary.Client()
	redistest.Wait(t, "the replica is in step", func() bool {
		require.NoError(t, client.Set(t.Context(), "any", "any", 0).Err())
		return client.Wait(t.Context(), 1, 100*time.Millisecond).Val() == 1
	})
}

func (p *pair) client(t *testing.T) *redis.Client {
	return newClient(t, &redis.Options{
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		Dialer: p.dial,
	})
}

func (p *pair) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, p.now.Load().Addr)
}

// failOver ends the primary, with all that is under way, and promotes the replica.
func (p *pair) failOver(t *testing.T) {
	p.line.Cut()
	p.primary.Kill()
	require.NoError(t, p.replica.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	p.now.Store(p.replica)
}

func TestWithReplicasMisconfiguration(t *testing.T) {
	client := newClient(t, &redis.Options{ReadTimeout: time.Second})
	piped, err := client.AsyncAutoPipeline()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		client redis.UniversalClient
		n      int
		wait   time.Duration
		says   string
	}{
		"none":                        {client, 0, time.Second, "at least one replica"},
		"no time":                     {client, 1, 0, "at least one replica"},
		"auto-pipelining":             {piped, 1, time.Millisecond, "give the client itself"},
		"as long as the client waits": {client, 1, time.Second, "must be shorter"},
		"as long as a call may take":  {newClient(t, &redis.Options{}), 1, 2 * time.Second, "must be shorter"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redisstore.New(test.client, redisstore.WithReplicas(test.n, test.wait))
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestContractWithReplicas(t *testing.T) {
	cached := tracking(redistest.NewProxy(t, newPair(t).primary.Addr).Addr, time.Minute)
	for name, client := range map[string]redis.UniversalClient{
		"single": newPair(t).client(t), "Cluster": redistest.ReplicatedCluster(t).Client(), "cache": newClient(t, cached),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server {
				opts := []redisstore.Option{redisstore.WithReplicas(1, time.Second)}
				if name == "cache" {
					opts = append(opts, redisstore.WithStaleReads())
				}
				return newStore(t, client, opts...)
			}})
		})
	}
}

// What too few replicas have in time is a failure, also for who looks afterwards;
// what needs no replica goes on.
func TestTooFewReplicas(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	client := p.client(t)
	store := newStore(t, client, redisstore.WithReplicas(1, 100*time.Millisecond))
	patient := newStore(t, client, redisstore.WithReplicas(1, 4*time.Second), redisstore.WithTimeout(5*time.Second))
	two := newStore(t, p.client(t), redisstore.WithReplicas(2, time.Second))
	warmUp(t, patient)
	key, owner := newKey(), newKey()
	rev := save(t, patient, key, "one", "")
	_, err := two.Save(t.Context(), key, record("two", rev))
	requireOutage(t, err)
	require.ErrorContains(t, err, "1 of 2 replicas")

	rec, err := patient.Load(t.Context(), key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, "two", string(rec.Data))
	p.line.Silence(true)
	for name, call := range calls(store, key, rec.Revision) {
		err := call(t.Context())
		switch name {
		case "Touch", "RemoveEntries", "Entries": // another may have changed the revision
			require.NotErrorIs(t, err, stores.ErrUnavailable, name)
		default:
			requireOutage(t, err)
			require.ErrorContains(t, err, "0 of 1 replicas", name)
		}
	}
	_, err = store.AddEntry(t.Context(), owner, entry(key, time.Hour))
	requireOutage(t, err)
	rec, err = store.Load(t.Context(), key, stores.MayBeStale)
	require.NoError(t, err)
	_, err = store.Save(t.Context(), key, record("more", "none"))
	require.ErrorIs(t, err, stores.ErrConflict)
	_, err = store.Load(t.Context(), newKey(), stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound)

	p.line.Silence(false)
	p.line.Cut()
	p.inStep(t)
	requireData(t, patient, key, string(rec.Data))
}

// A write and its WAIT are one round trip, on one connection.
func TestReplicasTakeOneRoundTrip(t *testing.T) {
	p := newPair(t)
	front := redistest.NewProxy(t, p.primary.Addr)
	store := newStore(t, newClient(t, &redis.Options{Addr: front.Addr, ContextTimeoutEnabled: true}), redisstore.WithReplicas(1, time.Second))
	warmUp(t, store)
	key := newKey()
	rev := save(t, store, key, "data", "")
	for name, call := range calls(store, key, rev) {
		before := front.RoundTrips()
		err := call(t.Context())
		require.NotErrorIs(t, err, stores.ErrUnavailable, name)
		require.Equal(t, before+1, front.RoundTrips(), name)
	}
}

// What was acknowledged before a failover to a replica that is 200 ms behind.
func TestFailoverLosses(t *testing.T) {
	for name, test := range map[string]struct {
		opts []redisstore.Option
		lose bool
	}{
		"asynchronous":  {nil, true},
		"with replicas": {[]redisstore.Option{redisstore.WithReplicas(1, time.Second)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.line.Delay(200 * time.Millisecond)
			store := newStore(t, p.client(t), test.opts...)
			warmUp(t, store)
			// What was acknowledged: of each session the last change, 3 at the most,
			// or that it has ended.
			const end = 4
			var mu sync.Mutex
			acked := make(map[stores.Key]int)
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			for range 64 {
				running.Go(func() {
					for {
						key, rev := newKey(), stores.Revision("")
						for n := 1; n <= end; n++ {
							var err error
							if rev, err = store.Save(ctx, key, record(string([]byte{byte(n)}), rev)); err != nil {
								return
							}
							mu.Lock()
							acked[key] = n
							mu.Unlock()
						}
					}
				})
			}
			time.Sleep(1500 * time.Millisecond)
			p.failOver(t)
			stop()
			running.Wait()

			after := newStore(t, p.client(t))
			changes, logouts, lost, back := 0, 0, 0, 0
			for key, n := range acked {
				changes += n
				found := 0
				rec, err := after.Load(t.Context(), key, stores.Fresh)
				if err == nil {
					found = int(rec.Data[0])
				} else {
					require.ErrorIs(t, err, stores.ErrNotFound)
				}
				lost += max(n-found, 0)
				if n == end {
					logouts++
					if found > 0 && found < end {
						back++
					}
				}
			}
			t.Logf("%d of %d acknowledged changes are lost, %d of %d logouts", lost, changes, back, logouts)
			if test.lose {
				require.Positive(t, lost, "the replica was not behind: this test proves nothing")
				return
			}
			require.Zero(t, lost)
			require.Zero(t, back)
			require.Positive(t, changes)
		})
	}
}
