package memstore_test

import (
	"context"
	"fmt"
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

// The suite tests Touch only where there is one.
var _ stores.Toucher = (*memstore.Store)(nil)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New:      func(t *testing.T) stores.Store { return newStore(t) },
		Synctest: true,
	})
}

// Where the store is full of expired records, every rule holds as in an empty
// one.
func TestStoreFullOfExpired(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) stores.Store {
			const limit = 400
			store := newStore(t, memstore.WithMaxSessions(limit))
			const life = 50 * time.Millisecond
			for range limit {
				save(t, store, newToken(), life)
			}
			time.Sleep(life)
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

func newToken() stores.Token { return stores.Token{ID: stores.NewID()} }

func record(life time.Duration) stores.Record {
	return stores.Record{Data: []byte("data"), Expires: time.Now().Add(life)}
}

func save(t testing.TB, store *memstore.Store, tok stores.Token, life time.Duration) stores.Revision {
	_, rev, err := store.Save(context.Background(), tok, record(life))
	require.NoError(t, err)
	return rev
}

func TestDescribe(t *testing.T) {
	require.Equal(t, stores.Info{Name: "memory", Sealing: stores.SealOptional, NoIO: true}, stores.Describe(newStore(t)))
}

func TestInvalidLimit(t *testing.T) {
	for _, n := range []int{0, -1, 1 << 40} {
		_, err := memstore.New(memstore.WithMaxSessions(n))
		require.ErrorContains(t, err, fmt.Sprintf("WithMaxSessions(%d)", n))
	}
}

func TestMaxRecord(t *testing.T) {
	_, err := memstore.New(memstore.WithMaxRecord(0))
	require.ErrorContains(t, err, "WithMaxRecord(0)")

	for limit, store := range map[int]*memstore.Store{
		1 << 20: newStore(t),
		1000:    newStore(t, memstore.WithMaxRecord(1000)),
	} {
		tok, rec := newToken(), record(time.Hour)
		rec.Data = make([]byte, limit+1)
		_, _, err := store.Save(t.Context(), tok, rec)
		require.ErrorIs(t, err, stores.ErrTooLarge)
		require.ErrorContains(t, err, "WithMaxRecord")
		require.Zero(t, store.Len())

		rec.Data = rec.Data[:limit]
		_, rec.Revision, err = store.Save(t.Context(), tok, rec)
		require.NoError(t, err)
		rec.Data = make([]byte, limit+1)
		_, _, err = store.Save(t.Context(), tok, rec)
		require.ErrorIs(t, err, stores.ErrTooLarge, "a change")
		kept, err := store.Load(t.Context(), tok)
		require.NoError(t, err)
		require.Len(t, kept.Data, limit)
	}
}

// The client holds only the ID, whatever it sent.
func TestSaveDropsPayload(t *testing.T) {
	tok := newToken()
	tok.Payload = "AAAA"
	got, _, err := newStore(t).Save(t.Context(), tok, record(time.Hour))
	require.NoError(t, err)
	require.True(t, got.ID.Equal(tok.ID))
	require.Empty(t, got.Payload)
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 400
		store := newStore(t, memstore.WithMaxSessions(limit))
		var live []stores.Token
		for i := range limit {
			tok := newToken()
			save(t, store, tok, time.Hour+time.Duration(i)*time.Second)
			live = append(live, tok)
		}
		refused := func() {
			t.Helper()
			_, _, err := store.Save(t.Context(), newToken(), record(time.Hour))
			require.ErrorIs(t, err, memstore.ErrFull)
			require.ErrorIs(t, err, stores.ErrUnavailable)
			require.ErrorContains(t, err, "WithMaxSessions")
			require.Equal(t, limit, store.Len())
		}
		refused()

		// No live session was dropped for the refused one, and all can be
		// written, touched and deleted.
		for _, tok := range live {
			rec, err := store.Load(t.Context(), tok)
			require.NoError(t, err)
			rec.Data = []byte("changed")
			_, rev, err := store.Save(t.Context(), tok, rec)
			require.NoError(t, err)
			_, err = store.Touch(t.Context(), tok, rev, rec.Expires)
			require.NoError(t, err)
		}
		_, _, err := store.Save(t.Context(), live[0], record(time.Hour))
		require.ErrorIs(t, err, stores.ErrExists)

		// A deleted session gives its place to one new one.
		require.NoError(t, store.Delete(t.Context(), live[0], ""))
		save(t, store, newToken(), 24*time.Hour)
		refused()

		// So does an expired one, in whatever shard it lies.
		time.Sleep(time.Hour + time.Second + time.Millisecond) // the session 1 ends, 2 lives
		save(t, store, newToken(), 24*time.Hour)
		refused()
		_, err = store.Load(t.Context(), live[2])
		require.NoError(t, err)

		// And all together.
		time.Sleep(limit * time.Second)
		for range limit - 2 {
			save(t, store, newToken(), 24*time.Hour)
		}
		refused()
	})
}

// Touched sessions outlive the time that their shard remembers.
func TestLimitAfterTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, memstore.WithMaxSessions(1))
		tok := newToken()
		rev := save(t, store, tok, time.Minute)
		_, err := store.Touch(t.Context(), tok, rev, time.Now().Add(time.Hour))
		require.NoError(t, err)

		time.Sleep(30 * time.Minute)
		_, _, err = store.Save(t.Context(), newToken(), record(time.Hour))
		require.ErrorIs(t, err, memstore.ErrFull)
		_, err = store.Load(t.Context(), tok)
		require.NoError(t, err)

		time.Sleep(31 * time.Minute)
		save(t, store, newToken(), time.Hour)
	})
}

// Whatever the load, the store settles at 4/3 of the sessions that are alive.
func TestSweepKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alive = 6400 // one new session a second, each lives that many
		store := newStore(t)
		most := 0
		for i := range 10 * alive {
			save(t, store, newToken(), alive*time.Second)
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
		var live []stores.Token
		for i := range 5000 {
			tok := newToken()
			life := time.Minute
			if i%5 == 0 {
				life = time.Hour
				live = append(live, tok)
			}
			_, _, err := store.Save(t.Context(), tok, stores.Record{Data: []byte(tok.String()), Expires: time.Now().Add(life)})
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Minute)

		var done atomic.Bool
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for last := false; !last; {
					last = done.Load()
					for _, tok := range live {
						rec, err := store.Load(t.Context(), tok)
						if err != nil || string(rec.Data) != tok.String() {
							t.Errorf("a live session was lost: %q, %v", rec.Data, err)
							return
						}
					}
				}
			})
		}
		for range 2000 {
			save(t, store, newToken(), time.Hour)
		}
		done.Store(true)
		readers.Wait()
		// 1000 and 2000 are alive; of 4000 expired ones, shards that got fewer
		// saves than others have some left.
		require.Less(t, store.Len(), 1000+2000+500, "the expired sessions are not swept")
	})
}

// Memory goes back to the runtime when the sessions have ended.
func TestMemoryGoesBack(t *testing.T) {
	toks := make([]stores.Token, 120_000)
	for i := range toks {
		toks[i] = newToken()
	}
	before := heap()
	store := newStore(t, memstore.WithMaxRecord(32<<20))
	for _, tok := range toks {
		save(t, store, tok, time.Hour)
	}
	full := heap() - before
	for _, tok := range toks {
		require.NoError(t, store.Delete(t.Context(), tok, ""))
	}
	require.Zero(t, store.Len())
	empty := heap() - before
	t.Logf("%d KiB with 120,000 sessions, %d KiB without", full>>10, empty>>10)
	runtime.KeepAlive(toks)
	runtime.KeepAlive(store)
	require.Less(t, empty, full/6) // a page and a small index stay in each shard

	// The page that stays does not hold on to data.
	tok := newToken()
	rec := record(time.Hour)
	rec.Data = make([]byte, 32<<20)
	_, _, err := store.Save(t.Context(), tok, rec)
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), tok, ""))
	rec.Data = nil
	require.Less(t, heap()-before, int64(16<<20))
	runtime.KeepAlive(store)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
