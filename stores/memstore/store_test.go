package memstore_test

import (
	"context"
	"crypto/rand"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// The suite tests what a store is besides a Server only where it is that.
var (
	_ stores.Toucher    = (*memstore.Store)(nil)
	_ stores.OwnerIndex = (*memstore.Store)(nil)
	_ stores.Counter    = (*memstore.Store)(nil)
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New:      func(t *testing.T) stores.Server { return newStore(t) },
		Small:    func(t *testing.T) stores.Server { return newStore(t, memstore.WithMaxSessions(1000)) },
		Synctest: true,
	})
}

// Where the store is full of what has expired, every rule holds as in an empty
// one.
func TestStoreFullOfExpired(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) stores.Server {
			const limit = 800
			store := newStore(t, memstore.WithMaxSessions(limit))
			for range limit {
				save(t, store, newKey(), time.Minute)
			}
			addEntries(t, store, limit+limit/8, time.Minute)
			time.Sleep(time.Minute)
			require.Equal(t, limit, store.Len())
			return store
		},
		Synctest: true,
	})
}

func newStore(t testing.TB, opts ...memstore.Option) *memstore.Store {
	store, err := memstore.New(opts...)
	require.NoError(t, err)
	return store
}

func newKey() stores.Key {
	var hash [24]byte
	rand.Read(hash[:])
	return stores.NewKey(hash)
}

func newKeys(n int) []stores.Key {
	keys := make([]stores.Key, n)
	for i := range keys {
		keys[i] = newKey()
	}
	return keys
}

func record(life time.Duration) stores.Record {
	return stores.Record{Data: []byte("data"), Expires: time.Now().Add(life)}
}

func save(t testing.TB, store *memstore.Store, key stores.Key, life time.Duration) stores.Revision {
	rev, err := store.Save(context.Background(), key, record(life))
	require.NoError(t, err)
	return rev
}

// sweep writes until the sweep has been round n records.
func sweep(t testing.TB, store *memstore.Store, n int) {
	const shards = 64
	for i := range shards {
		var hash [24]byte
		hash[0] = byte(i) // names the shard
		for range n / shards {
			require.NoError(t, store.Put(context.Background(), stores.NewKey(hash), record(time.Microsecond)))
		}
	}
}

func TestPlace(t *testing.T) {
	store := newStore(t)
	require.Equal(t, stores.Place{Name: "memory", Server: store, InProcess: true}, store.Place())
}

// Whatever the load, the store settles at 4/3 of the sessions that are alive.
func TestSweepKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alive = 6400 // one new session a second, each lives that many
		store := newStore(t)
		most := 0
		for i := range 10 * alive {
			save(t, store, newKey(), alive*time.Second)
			time.Sleep(time.Second)
			if i > 3*alive {
				most = max(most, store.Len())
			}
		}
		require.GreaterOrEqual(t, most, alive)
		require.LessOrEqual(t, most, alive*4/3+alive/10) // shards are not equally full
	})
}

// Readers find every live session, with its own data, while others are swept
// from beneath it.
func TestSweepIsNotNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		var live []stores.Key
		for i := range 5000 {
			key := newKey()
			life := time.Minute
			if i%5 == 0 {
				life = time.Hour
				live = append(live, key)
			}
			_, err := store.Save(t.Context(), key, stores.Record{Data: []byte(key.Name()), Expires: time.Now().Add(life)})
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Minute)

		var done atomic.Bool
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for last := false; !last; {
					last = done.Load()
					for _, key := range live {
						rec, err := store.Load(t.Context(), key, stores.Fresh)
						if err != nil || string(rec.Data) != key.Name() {
							t.Errorf("a live session was lost: %q, %v", rec.Data, err)
							return
						}
					}
				}
			})
		}
		for range 2000 {
			save(t, store, newKey(), time.Hour)
		}
		done.Store(true)
		readers.Wait()
		// 1000 and 2000 are alive; of 4000 expired ones, shards that got fewer
		// saves than others have some left.
		require.Less(t, store.Len(), 1000+2000+500, "the expired sessions are not swept")
	})
}

// Memory goes back to the runtime when the sessions have ended: most of it with
// the stub, the rest when that has expired.
func TestMemoryGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys(120_000)
		before := heap()
		store := newStore(t, memstore.WithMaxRecordSize(64<<20))
		for _, key := range keys {
			save(t, store, key, time.Hour)
		}
		full := heap() - before
		time.Sleep(time.Hour)
		sweep(t, store, len(keys))
		time.Sleep(time.Minute)
		sweep(t, store, len(keys)/10)
		require.Less(t, store.Len(), 1000)
		empty := heap() - before
		t.Logf("%d KiB with 120,000 sessions, %d KiB without", full>>10, empty>>10)
		runtime.KeepAlive(keys)
		require.Less(t, empty, full/6) // a page and a small index stay in each shard

		// A stub does not hold on to the data that it was written over.
		key := newKey()
		rec := record(time.Hour)
		rec.Data = make([]byte, 32<<20)
		_, err := store.Save(t.Context(), key, rec)
		require.NoError(t, err)
		require.NoError(t, store.Put(t.Context(), key, record(time.Minute)))
		rec.Data = nil
		require.Less(t, heap()-before, int64(16<<20))

		// Nor does the page that stays.
		key, rec = newKey(), record(time.Minute)
		rec.Data = make([]byte, 32<<20)
		_, err = store.Save(t.Context(), key, rec)
		require.NoError(t, err)
		rec.Data = nil
		time.Sleep(time.Minute)
		sweep(t, store, 10*1024)
		require.Less(t, heap()-before, int64(16<<20))
		runtime.KeepAlive(store)
	})
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Every write gives a revision of its own, that of a Put too.
func TestRevisions(t *testing.T) {
	store, key := newStore(t), newKey()
	seen := make(map[stores.Revision]bool)
	rev := save(t, store, key, time.Hour)
	for i := range 100 {
		require.False(t, seen[rev])
		seen[rev] = true
		if i%2 == 0 {
			require.NoError(t, store.Put(t.Context(), key, record(time.Hour)))
			rec, err := store.Load(t.Context(), key, stores.MayBeStale)
			require.NoError(t, err)
			rev = rec.Revision
			continue
		}
		rec := record(time.Hour)
		rec.Revision = rev
		var err error
		rev, err = store.Save(t.Context(), key, rec)
		require.NoError(t, err)
	}
}

func TestAllocations(t *testing.T) {
	store, key := newStore(t), newKey()
	rec := record(time.Hour)
	rec.Revision = save(t, store, key, time.Hour)
	for what, c := range map[string]struct {
		want float64
		do   func() error
	}{
		"Load": {1, func() error { _, err := store.Load(t.Context(), key, stores.MayBeStale); return err }},
		"Save": {1, func() (err error) { rec.Revision, err = store.Save(t.Context(), key, rec); return err }},
	} {
		t.Run(what, func(t *testing.T) {
			require.Equal(t, c.want, testing.AllocsPerRun(100, func() {
				if err := c.do(); err != nil {
					t.Error(err)
				}
			}))
		})
	}
}
