package filestore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/filestore"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/storetest"
)

// This is all that a store needs to be proved.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) stores.Server { return &filestore.Store{Dir: t.TempDir()} },
		Unreachable: func(t *testing.T) stores.Server {
			return &filestore.Store{Dir: filepath.Join(t.TempDir(), "not mounted")}
		},
		Synctest: true,
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &filestore.Store{Dir: t.TempDir()}
		for i := range 4 {
			rec := stores.Record{Data: []byte("data"), Expires: time.Now().Add(time.Duration(i+1) * time.Minute)}
			require.NoError(t, store.Put(t.Context(), stores.NewKey([24]byte{byte(i)}), rec))
		}
		time.Sleep(2 * time.Minute)
		require.NoError(t, store.Sweep())
		left, err := os.ReadDir(store.Dir)
		require.NoError(t, err)
		require.Len(t, left, 2)
	})
}

// The manager of package sessions does this: the store is given to
// middleware.New.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store := &filestore.Store{Dir: dir}
	ctx := context.Background()
	hash := sha256.Sum256([]byte("a session's ID"))
	key := stores.NewKey([24]byte(hash[:]))

	rec := stores.Record{Data: []byte("sealed bytes"), Expires: time.Now().Add(time.Hour)}
	rev, err := store.Save(ctx, key, rec)
	fmt.Println("created:", err)
	_, err = store.Save(ctx, key, rec)
	fmt.Println("created again:", errors.Is(err, stores.ErrConflict))
	rec.Revision = rev
	_, err = store.Save(ctx, key, rec)
	fmt.Println("replaced:", err)
	// Output:
	// created: <nil>
	// created again: true
	// replaced: <nil>
}
