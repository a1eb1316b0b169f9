package memstore_test

import (
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func newOwner() (k stores.OwnerKey) {
	rand.Read(k[:])
	return k
}

func newEntry(life time.Duration) stores.Entry {
	return stores.Entry{Key: newToken().ID.Key(), Data: []byte("sealed entry"), Deadline: time.Now().Add(life)}
}

// Whoever can begin logins can't fill the memory with the lists of owners.
func TestTheLimitCountsEntries(t *testing.T) {
	const limit = 10
	for name, owners := range map[string]int{"one owner": 1, "many owners": 2 * limit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t, memstore.WithMaxSessions(limit))
				var all []stores.OwnerKey
				for range owners {
					all = append(all, newOwner())
				}
				var last stores.Entry
				add := func(life time.Duration) (n int, err error) {
					for ; err == nil && n <= 3*limit; n++ {
						e := newEntry(life)
						if err = store.AddEntry(t.Context(), all[n%owners], e); err == nil {
							last = e
						}
					}
					return n - 1, err
				}
				n, err := add(100 * time.Hour)
				require.ErrorIs(t, err, memstore.ErrFull)
				require.ErrorIs(t, err, stores.ErrUnavailable)
				require.Equal(t, 2*limit, n)
				owner := all[(n-1)%owners]
				require.NoError(t, store.AddEntry(t.Context(), owner, last), "one that is there can be written again")
				require.NoError(t, store.RemoveOwned(t.Context(), owner, last.Key))
				require.NoError(t, store.AddEntry(t.Context(), owner, last))

				time.Sleep(stores.OrphanAge + time.Second)
				n, err = add(time.Minute)
				require.ErrorIs(t, err, memstore.ErrFull)
				require.Equal(t, 2*limit, n, "orphans leave")
				time.Sleep(2 * time.Minute)
				n, err = add(time.Minute)
				require.ErrorIs(t, err, memstore.ErrFull)
				require.Equal(t, 2*limit, n, "what has ended leaves")
			})
		})
	}
}
