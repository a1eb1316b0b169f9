//go:build unix

package redisstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// tracking are the options of a client with a cache of its own, which is never
// wrong for longer than limit.
func tracking(addr string, limit time.Duration) *redis.Options {
	return &redis.Options{
		Addr: addr, ContextTimeoutEnabled: true,
		ClientSideCacheConfig: &redis.ClientSideCacheConfig{MaxStaleness: limit},
	}
}

func newStale(t testing.TB, client redis.UniversalClient) *redisstore.Store {
	return newStore(t, client, redisstore.WithStaleReads())
}

// peek is a Load that may be stale.
func peek(t testing.TB, store *redisstore.Store, key stores.Key) string {
	t.Helper()
	rec, err := store.Load(t.Context(), key, stores.MayBeStale)
	if errors.Is(err, stores.ErrNotFound) {
		return ""
	}
	require.NoError(t, err)
	return string(rec.Data)
}

func TestStaleReadsMisconfiguration(t *testing.T) {
	cache := func(change func(*redis.Options)) redis.UniversalClient {
		o := tracking("127.0.0.1:1", time.Second)
		change(o)
		return newClient(t, o)
	}
	for name, test := range map[string]struct {
		client redis.UniversalClient
		says   string
	}{
		"no cache":      {newClient(t, &redis.Options{}), "set its ClientSideCacheConfig"},
		"no limit":      {cache(func(o *redis.Options) { o.ClientSideCacheConfig.MaxStaleness = 0 }), "set MaxStaleness"},
		"unknown limit": {cache(func(o *redis.Options) { o.ClientSideCache = redis.NewLocalCache(redis.CacheConfig{}) }), "does not tell its limit"},
		"RESP2":         {cache(func(o *redis.Options) { o.Protocol = 2 }), "RESP3"},
		"database 1":    {cache(func(o *redis.Options) { o.DB = 1 }), "database 0"},
		"credentials": {
			cache(func(o *redis.Options) { o.CredentialsProvider = func() (string, string) { return "", "" } }), "credentials",
		},
		"Cluster that asks primaries": {redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true}), "set ReadOnly"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redisstore.New(test.client, redisstore.WithStaleReads())
			require.ErrorContains(t, err, test.says)
		})
	}
}

// The contract, with every client that may be stale.
func TestContractWithStaleReads(t *testing.T) {
	server := redistest.Single(t)
	plain := tracking(server.Addr, time.Minute)
	plain.ContextTimeoutEnabled = false
	cached := newClient(t, tracking(server.Addr, time.Minute))
	piped, err := cached.AsyncAutoPipeline()
	require.NoError(t, err)
	for name, client := range map[string]redis.UniversalClient{
		"cache": cached, "cache, no contexts": newClient(t, plain), "cache, auto-pipelining": piped,
		"replica": redistest.Sentinel(t).ReaderClient(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, newStale(t, client).Place().StaleReads)
			storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server { return newStale(t, client) }})
		})
	}
}

// A session that is read again and again costs nothing, and a change one round
// trip. What another process writes is seen soon; what this one writes, at once.
func TestReadsFromTheCache(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	for name, contexts := range map[string]bool{"contexts enabled": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			o := tracking(proxy.Addr, time.Minute)
			o.ContextTimeoutEnabled = contexts
			store, other := newStale(t, newClient(t, o)), newStore(t, server.Client())
			warmUp(t, store)
			key := newKey()
			rev := save(t, other, key, "0", "")
			for i := range 50 {
				redistest.Wait(t, "the other's change is seen", func() bool { return peek(t, store, key) == fmt.Sprint(2*i) })
				var before int64
				redistest.Wait(t, "the process has it in memory", func() bool {
					before = proxy.RoundTrips()
					peek(t, store, key)
					return proxy.RoundTrips() == before
				})
				for range 50 {
					require.Equal(t, fmt.Sprint(2*i), peek(t, store, key))
				}
				require.Equal(t, before, proxy.RoundTrips(), "reads asked the server")
				rec, err := store.Load(t.Context(), key, stores.MayBeStale)
				require.NoError(t, err)
				rev = save(t, store, key, fmt.Sprint(2*i+1), rec.Revision)
				require.Equal(t, before+1, proxy.RoundTrips(), "the change")
				require.Equal(t, fmt.Sprint(2*i+1), peek(t, store, key), "the process's own write")
				rev = save(t, other, key, fmt.Sprint(2*i+2), rev)
			}
		})
	}
}

// One change after the other costs a round trip each, although Redis takes what was
// written out of the client's memory.
func TestChangesFollowEachOther(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	store, other := newStale(t, newClient(t, tracking(proxy.Addr, time.Minute))), newStore(t, server.Client())
	warmUp(t, store)
	key := newKey()
	rev := save(t, store, key, "0", "")
	trips, slow := proxy.RoundTrips(), 0
	const n = 300
	for i := range n {
		began := time.Now()
		rec, err := store.Load(t.Context(), key, stores.MayBeStale)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(rec.Data))
		require.Equal(t, rev, rec.Revision)
		require.WithinDuration(t, time.Now().Add(time.Hour), rec.Expires, time.Minute)
		copy(rec.Data, "????") // it is the caller's
		rev = save(t, store, key, fmt.Sprint(i+1), rec.Revision)
		if time.Since(began) > 50*time.Millisecond {
			slow++
		}
	}
	require.LessOrEqual(t, proxy.RoundTrips()-trips, int64(n+2*slow))

	// What could be another state than the one that was written is asked for.
	for name, call := range map[string]func() string{
		"Touch": func() string {
			_, err := store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			return "mine"
		},
		"Put": func() string {
			require.NoError(t, store.Put(t.Context(), key, record("put", "")))
			return "put"
		},
		"a conflict": func() string {
			save(t, other, key, "other", rev)
			_, err := store.Save(t.Context(), key, record("late", rev))
			require.ErrorIs(t, err, stores.ErrConflict)
			return "other"
		},
		"a fresh Load": func() string {
			save(t, other, key, "other", rev)
			requireData(t, store, key, "other")
			return "other"
		},
		"LoadMany": func() string {
			save(t, other, key, "other", rev)
			_, err := store.LoadMany(t.Context(), []stores.Key{key})
			require.NoError(t, err)
			return "other"
		},
		"SaveMany": func() string {
			_, err := store.SaveMany(t.Context(), []stores.Key{key}, []stores.Record{record("many", rev)})
			require.NoError(t, err)
			return "many"
		},
		"a lost reply": func() string {
			proxy.Lose(1)
			_, err := store.Save(t.Context(), key, record("lost", rev))
			requireOutage(t, err)
			return "lost"
		},
	} {
		t.Run(name, func(t *testing.T) {
			key = newKey()
			rev = save(t, store, key, "mine", "")
			want := call()
			rec, err := store.Load(t.Context(), key, stores.MayBeStale)
			require.NoError(t, err)
			require.Equal(t, want, string(rec.Data))
			require.Equal(t, name == "Touch", rec.Expires.After(time.Now().Add(90*time.Minute)))
		})
	}
}

// What this process has written keeps another's logout from it for a moment only,
// even where no invalidation comes.
func TestOwnWritesAreShortMemories(t *testing.T) {
	server := redistest.Single(t)
	store, other := newStale(t, newClient(t, tracking(server.Addr, time.Minute))), newStore(t, server.Client())
	var all delays
	for range 20 {
		key := newKey()
		rev := save(t, store, key, "live", "")
		save(t, other, key, "ended", rev)
		began := time.Now()
		for asked := began; peek(t, store, key) != "ended"; asked = time.Now() {
			require.Less(t, asked.Sub(began), 100*time.Millisecond)
		}
		all = append(all, time.Since(began))
	}
	t.Log(all)
}

// What asks the server is never answered by a cache, however wrong that is.
func TestFreshIsFresh(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	o := tracking(proxy.Addr, time.Minute)
	o.PoolSize = 1
	store, other := newStale(t, newClient(t, o)), newStore(t, server.Client())
	key := newKey()
	rev := save(t, other, key, "0", "")
	for i := range 100 {
		peek(t, store, key)
		rev = save(t, other, key, fmt.Sprint(i), rev)
		requireData(t, store, key, fmt.Sprint(i))
		require.Equal(t, fmt.Sprint(i), peek(t, store, key), "older than what was seen already")
		recs, err := store.LoadMany(t.Context(), []stores.Key{key})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(recs[0].Data))
	}
}

// A replica that lost touch with its primary serves what it had. What this process
// has written or seen, it goes on to see; and Fresh is fresh.
func TestReadsFromReplicas(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.ReaderClient()
	store := newStale(t, client)
	warmUp(t, store)
	old, written := newKey(), newKey()
	save(t, newStore(t, guarded.Primary.Client()), old, "old", "")
	rev := save(t, store, written, "old", "")
	require.NoError(t, guarded.Primary.Client().Wait(t.Context(), 1, 5*time.Second).Err())
	require.NoError(t, guarded.Replica.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())

	save(t, store, written, "new", rev)
	require.NoError(t, newStore(t, guarded.Primary.Client()).Put(t.Context(), old, record("ended", "")))
	answers := make(map[string]int)
	for range 100 {
		require.Equal(t, "new", peek(t, store, written))
		answers[peek(t, store, old)]++
	}
	require.Positive(t, answers["old"], "this client reads nothing from the replica: %v", answers)
	require.Positive(t, answers["ended"], "%v", answers)
	requireData(t, store, old, "ended")
	for range 100 {
		require.Equal(t, "ended", peek(t, store, old), "older than what was seen already")
	}
}

// delays are how long it took from something until it was seen.
type delays []time.Duration

func (d delays) String() string {
	slices.Sort(d)
	return fmt.Sprintf("median %v, 99th %v, worst %v of %d", d[len(d)/2], d[len(d)*99/100], d[len(d)-1], len(d))
}

// From a logout in one process to its effect in another, which has the session in
// memory: with the server at rest and under load.
func TestStalenessOfALogout(t *testing.T) {
	server := redistest.Single(t)
	store, other := newStale(t, newClient(t, tracking(server.Addr, time.Minute))), newStore(t, server.Client())
	measure := func(t *testing.T, n int) {
		var all delays
		for range n {
			key := newKey()
			rev := save(t, other, key, "live", "")
			require.Equal(t, "live", peek(t, store, key))
			began := time.Now()
			save(t, other, key, "ended", rev)
			for peek(t, store, key) != "ended" {
				time.Sleep(50 * time.Microsecond) // which lets others run
			}
			all = append(all, time.Since(began))
		}
		t.Log(all)
		require.Less(t, slices.Max(all), 20*time.Second, "a minute is the client's limit")
	}
	t.Run("at rest", func(t *testing.T) { measure(t, 200) })
	t.Run("under load", func(t *testing.T) {
		stop, done := make(chan struct{}), make(chan struct{})
		const busy = 8
		for range busy {
			go func() {
				defer func() { done <- struct{}{} }()
				key := newKey()
				rev := save(t, other, key, "0", "")
				for i := 1; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if i%10 == 0 {
						rev = save(t, other, key, "more", rev)
					}
					peek(t, store, key)
				}
			}()
		}
		measure(t, 50)
		close(stop)
		for range busy {
			<-done
		}
	})
}

// Whatever becomes of the connections on which the invalidations come, no read is
// older than the client's limit, and nothing that was acknowledged is lost.
func TestStalenessWithFaults(t *testing.T) {
	const limit = 2 * time.Second
	for name, fault := range map[string]func(t *testing.T, server *redistest.Server, proxy *redistest.Proxy){
		"connections cut": func(_ *testing.T, _ *redistest.Server, p *redistest.Proxy) { p.Cut() },
		"connections killed by the server": func(t *testing.T, s *redistest.Server, _ *redistest.Proxy) {
			require.NoError(t, s.Client().ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
		},
		"silence": func(t *testing.T, _ *redistest.Server, p *redistest.Proxy) {
			p.Silence(true)
			time.AfterFunc(3*limit/2, func() { p.Silence(false) })
		},
		"FLUSHALL": func(t *testing.T, s *redistest.Server, _ *redistest.Proxy) {
			require.NoError(t, s.Client().FlushAll(t.Context()).Err())
		},
		"server restarted": func(t *testing.T, s *redistest.Server, _ *redistest.Proxy) {
			require.NoError(t, s.Client().Save(t.Context()).Err())
			s.Kill()
			s.Start()
			s.WaitReady()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			proxy := redistest.NewProxy(t, server.Addr)
			store := newStale(t, newClient(t, tracking(proxy.Addr, limit)))
			other := newStore(t, newClient(t, &redis.Options{Addr: server.Addr}), redisstore.WithTimeout(5*time.Second))
			const n = 200
			keys := make([]stores.Key, n)
			for i := range keys {
				keys[i] = newKey()
				save(t, other, keys[i], "live", "")
				require.Equal(t, "live", peek(t, store, keys[i]))
			}
			fault(t, server, proxy)
			began := time.Now()
			for _, key := range keys {
				require.NoError(t, other.Put(t.Context(), key, record("ended", "")))
			}
			put := time.Since(began)
			var all delays
			for len(all) < n {
				for i, key := range keys {
					if key.IsZero() {
						continue
					}
					// While the server can't be reached there is an error, and no answer.
					asked := time.Since(began)
					rec, err := store.Load(t.Context(), key, stores.MayBeStale)
					if err == nil && string(rec.Data) == "ended" {
						all = append(all, time.Since(began))
						keys[i] = stores.Key{}
						continue
					}
					if err == nil {
						require.Less(t, asked, limit+put, "older than the limit")
						continue
					}
					require.ErrorIs(t, err, stores.ErrUnavailable)
					break
				}
			}
			t.Log(cmp.Or(name), all)
		})
	}
}
