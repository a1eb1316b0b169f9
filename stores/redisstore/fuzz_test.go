//go:build unix

package redisstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
)

// FuzzValue puts any bytes under a session's key. They are a session, none, or an
// error that can't be taken for none, and every call of the store says the same.
func FuzzValue(f *testing.F) {
	server := redistest.Single(f)
	client := newClient(f, &redis.Options{Addr: server.Addr})
	store := newStore(f, client)
	f.Fuzz(func(t *testing.T, value []byte) {
		tok := newToken()
		key := keyOf(tok)
		require.NoError(t, client.Set(t.Context(), key, value, time.Hour).Err())
		defer client.Del(t.Context(), key)

		rec, err := store.Load(t.Context(), tok)
		switch none := bytes.HasPrefix(value, make([]byte, 16)); {
		case none:
			require.ErrorIs(t, err, stores.ErrNotFound)
			require.NotErrorIs(t, err, stores.ErrUnavailable)
			_, err = store.Touch(t.Context(), tok, stores.Revision(value[:16]), time.Now().Add(2*time.Hour))
			require.ErrorIs(t, err, stores.ErrNotFound)
			require.ErrorIs(t, store.Delete(t.Context(), tok, "any"), stores.ErrNotFound)
			save(t, store, tok, "data", "")
			requireData(t, store, tok, "data")
		case len(value) < 72:
			for what, call := range calls(store, tok, "any") {
				if what != "create" && what != "Delete" { // of another session; of anything
					requireOutage(t, call(t.Context()))
				}
			}
			_, _, err = store.Save(t.Context(), tok, record("data", ""))
			requireOutage(t, err)
			require.Equal(t, string(value), client.Get(t.Context(), key).Val())
		default:
			require.NoError(t, err)
			require.True(t, bytes.Equal(value[72:], rec.Data))
			require.Equal(t, stores.Revision(value[:16]), rec.Revision)
			_, _, err = store.Save(t.Context(), tok, record("data", ""))
			require.ErrorIs(t, err, stores.ErrExists)
			_, _, err = store.Save(t.Context(), tok, record("data", "another"))
			require.ErrorIs(t, err, stores.ErrConflict)
			_, err = store.Touch(t.Context(), tok, rec.Revision, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			rev := save(t, store, tok, "data", rec.Revision)
			requireData(t, store, tok, "data")
			require.NoError(t, store.Delete(t.Context(), tok, rev))
		}
	})
}

// FuzzListEntry puts any bytes into the list of an owner's sessions. They are an
// entry, one that is past, or an error; and the session can be removed.
func FuzzListEntry(f *testing.F) {
	server := redistest.Single(f)
	client := newClient(f, &redis.Options{Addr: server.Addr})
	store := newStore(f, client)
	f.Fuzz(func(t *testing.T, field, value []byte) {
		owner := newOwner()
		defer client.Del(t.Context(), listOf(owner))
		other := login(t, store, owner, 1)
		require.NoError(t, client.HSet(t.Context(), listOf(owner), field, value).Err())

		entries, err := store.Entries(t.Context(), owner)
		if err != nil {
			requireOutage(t, err)
		}
		for _, e := range entries {
			if e.Key != other[0] {
				require.Equal(t, string(field), string(e.Key[:]))
				require.True(t, bytes.HasSuffix(value, append([]byte(" "), e.Data...)))
				require.True(t, e.Deadline.After(time.Now().Add(-time.Minute)))
			}
		}
		if len(field) != len(stores.Key{}) {
			return
		}
		require.NoError(t, store.RemoveOwned(t.Context(), owner, stores.Key(field)))
		entries, err = store.Entries(t.Context(), owner)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Equal(t, other[0], entries[0].Key)
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, target := range []string{"FuzzValue", "FuzzListEntry"} {
		seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", target))
		require.NoError(t, err)
		require.NotEmpty(t, seeds, target)
	}
}
