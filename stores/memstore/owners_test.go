package memstore_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func addEntry(t testing.TB, store *memstore.Store, owner, key stores.Key, life time.Duration) error {
	_, err := store.AddEntry(context.Background(), owner, stores.Entry{Key: key, Data: []byte("label"), Expires: time.Now().Add(life)})
	return err
}

// addEntries adds n entries of one owner, for sessions that are not there.
func addEntries(t testing.TB, store *memstore.Store, n int, life time.Duration) stores.Key {
	owner := newKey()
	for range n {
		require.NoError(t, addEntry(t, store, owner, newKey(), life))
	}
	return owner
}

func entries(t testing.TB, store *memstore.Store, owner stores.Key) []stores.Entry {
	list, err := store.Entries(context.Background(), owner)
	require.NoError(t, err)
	return list
}

// An entry that is over is not replaced, whether or not it was swept.
func TestNumberOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, owner, key := newStore(t), newKey(), newKey()
		for range 100 { // so that the sweep does not come to it
			require.NoError(t, addEntry(t, store, newKey(), newKey(), time.Hour))
		}
		require.NoError(t, addEntry(t, store, owner, key, time.Minute))
		before := entries(t, store, owner)[0].Number
		require.NoError(t, addEntry(t, store, owner, key, time.Minute))
		require.Equal(t, before, entries(t, store, owner)[0].Number)
		time.Sleep(time.Minute)
		require.NoError(t, addEntry(t, store, owner, key, time.Minute))
		require.Greater(t, entries(t, store, owner)[0].Number, before)
	})
}

// The entries of all owners have a limit of their own: that of the records, with
// the reserve.
func TestEntriesLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, spare = 800, 100
		store := newStore(t, memstore.WithMaxSessions(limit))
		owner := addEntries(t, store, (limit+spare)/2, 24*time.Hour)
		other := addEntries(t, store, (limit+spare)/2, 24*time.Hour)
		refused(t, addEntry(t, store, owner, newKey(), 24*time.Hour))
		refused(t, addEntry(t, store, newKey(), newKey(), 24*time.Hour))
		require.Zero(t, store.Len(), "entries are no records")

		// Those that there are can be written and removed.
		list := entries(t, store, owner)
		require.Len(t, list, (limit+spare)/2)
		require.Len(t, entries(t, store, other), (limit+spare)/2)
		for _, e := range list {
			e.Data = []byte("another label")
			number, err := store.AddEntry(t.Context(), owner, e)
			require.NoError(t, err)
			require.Equal(t, e.Number, number)
		}
		require.NoError(t, store.RemoveEntries(t.Context(), owner, list[0].Key))
		require.NoError(t, addEntry(t, store, owner, newKey(), 24*time.Hour))
		refused(t, addEntry(t, store, owner, newKey(), 24*time.Hour))

		// Expired ones give their places up.
		time.Sleep(24 * time.Hour)
		for range limit + spare {
			require.NoError(t, addEntry(t, store, newKey(), newKey(), 24*time.Hour))
		}
	})
}

// An index that is full of entries whose sessions idled out long before the
// entries' own end refuses nobody; what is live, or may be a login under way,
// stays.
func TestEntriesOfDeadSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, spare = 800, 100
		store := newStore(t, memstore.WithMaxSessions(limit))
		owner := addEntries(t, store, limit+spare-4, 30*24*time.Hour)
		live := newKeys(2)
		for _, key := range live {
			require.NoError(t, addEntry(t, store, owner, key, 30*24*time.Hour))
			save(t, store, key, 30*24*time.Hour)
		}
		time.Sleep(30 * time.Minute)
		for range 2 { // logins under way
			require.NoError(t, addEntry(t, store, owner, newKey(), 30*24*time.Hour))
		}
		refused(t, addEntry(t, store, owner, newKey(), 24*time.Hour))
		time.Sleep(30 * time.Minute)
		refused(t, addEntry(t, store, owner, newKey(), 24*time.Hour)) // none is older than an hour
		require.Len(t, entries(t, store, owner), limit+spare)

		time.Sleep(time.Millisecond)
		for range limit + spare - 4 {
			require.NoError(t, addEntry(t, store, owner, newKey(), 24*time.Hour))
		}
		refused(t, addEntry(t, store, owner, newKey(), 24*time.Hour))
		found := make(map[stores.Key]bool)
		for _, e := range entries(t, store, owner) {
			found[e.Key] = true
		}
		require.Len(t, found, limit+spare)
		for _, key := range live {
			require.True(t, found[key], "the entry of a live session is gone")
		}
	})
}

// Whatever the load, the index settles at 4/3 of the entries that are alive, so
// what it holds is given back without anybody asking for those owners.
func TestEntriesSweepKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alive, most = 900, 900 * 4 / 3
		store := newStore(t, memstore.WithMaxSessions(most*8/9))
		for range 10 * alive { // one a second, each lives that many, of owners who never come back
			require.NoError(t, addEntry(t, store, newKey(), newKey(), alive*time.Second))
			time.Sleep(time.Second)
		}
	})
}

// However entries of several owners come, go and expire, each list is what it
// would be alone.
func TestListsAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		owners, keys := newKeys(3), newKeys(300) // the sessions of one owner are another's too
		model := make([]map[stores.Key]stores.Entry, len(owners))
		for i := range model {
			model[i] = make(map[stores.Key]stores.Entry)
		}
		var last uint64
		for range 3000 {
			i := rand.IntN(len(owners))
			e := stores.Entry{Key: keys[rand.IntN(len(keys))], Data: []byte(newKey().Name()), Expires: time.Now().Add(time.Duration(rand.IntN(3600)+1) * time.Second)}
			old := model[i][e.Key]
			switch rand.IntN(4) {
			case 0:
				remove := []stores.Key{e.Key, keys[rand.IntN(len(keys))]}
				require.NoError(t, store.RemoveEntries(t.Context(), owners[i], remove...))
				delete(model[i], remove[0])
				delete(model[i], remove[1])
			default:
				number, err := store.AddEntry(t.Context(), owners[i], e)
				require.NoError(t, err)
				if old.Expires.After(time.Now()) {
					require.Equal(t, old.Number, number)
				} else {
					require.Greater(t, number, last)
					last = number
				}
				e.Number = number
				model[i][e.Key] = e
			}
			time.Sleep(time.Duration(rand.IntN(10)) * time.Second)
			list := entries(t, store, owners[i])
			for _, e := range list {
				want := model[i][e.Key]
				if e.Number != want.Number || !bytes.Equal(e.Data, want.Data) || !e.Expires.Equal(want.Expires) {
					t.Fatalf("listed %v, want %v", e, want)
				}
			}
			live := 0
			for _, e := range model[i] {
				if e.Expires.After(time.Now()) {
					live++
				}
			}
			require.Len(t, list, live)
		}
	})
}

// The memory of owners goes back.
func TestMemoryOfOwnersGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := heap()
		store := newStore(t)
		const n = 20_000
		for range n {
			require.NoError(t, addEntry(t, store, newKey(), newKey(), time.Hour))
		}
		full := heap() - before
		time.Sleep(time.Hour)
		owner, key := newKey(), newKey()
		for range n / 2 {
			require.NoError(t, addEntry(t, store, owner, key, time.Hour))
		}
		empty := heap() - before
		t.Logf("%d B an entry, %d KiB without", full/n, empty>>10)
		require.Less(t, empty, full/6)
		require.Len(t, entries(t, store, owner), 1)
	})
}
