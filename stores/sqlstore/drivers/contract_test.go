//go:build unix

package drivers_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// The contract, also where the server does not answer, where replies get lost, and where
// there is no room.
func TestContract(t *testing.T) {
	for name, how := range map[string]struct {
		start func(testing.TB, ...string) database
		small func(testing.TB) database
	}{"PostgreSQL": {postgresql, smallPostgreSQL}, "MariaDB": {mariadb, smallMariaDB}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, small := how.start(t), how.small(t).store(t)
			store := db.store(t)
			brief := sqlstore.WithTimeout(2 * time.Second)
			unreachable := db.store(t, brief)
			proxy := redistest.NewProxy(t, db.server.Addr)
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server { return store },
				Unreachable: func(t *testing.T) stores.Server {
					db.server.Freeze()
					t.Cleanup(db.server.Thaw)
					return unreachable
				},
				Lossy: func(t *testing.T) stores.Server {
					store := db.at(proxy.Addr).store(t, brief)
					// One change by a new connection takes several replies: with
					// five, one that is alone can lose the same one each time.
					proxy.LoseEvery(13)
					t.Cleanup(func() { proxy.LoseEvery(0) })
					return store
				},
				Small: func(*testing.T) stores.Server { return small },
			})
			require.Positive(t, proxy.Lost())
			requireFull(t, small)
		})
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		store, small := sqlite(t).store(t), smallSQLite(t).store(t)
		storetest.Run(t, storetest.Config{
			New: func(t *testing.T) stores.Server { return store },
			// Without write-ahead logging, so that readers have to wait too.
			Unreachable: func(t *testing.T) stores.Server {
				locked := database{sqlstore.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "locked.db"), nil, 0}
				store := locked.store(t, sqlstore.WithTimeout(200*time.Millisecond))
				conn, err := locked.open(t).Conn(t.Context())
				require.NoError(t, err)
				_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
				require.NoError(t, err)
				t.Cleanup(func() { conn.Close() })
				return store
			},
			Small: func(*testing.T) stores.Server { return small },
		})
		requireFull(t, small)
	})
}
