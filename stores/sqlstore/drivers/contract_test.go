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

// The contract, also where the server does not answer, and where replies get lost.
func TestContract(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) database{"PostgreSQL": postgresql, "MariaDB": mariadb} {
		t.Run(name, func(t *testing.T) {
			db := start(t)
			store := db.store(t)
			proxy := redistest.NewProxy(t, db.server.Addr)
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server { return store },
				Unreachable: func(t *testing.T) stores.Server {
					db.server.Freeze()
					t.Cleanup(db.server.Thaw)
					return store
				},
				Lossy: func(t *testing.T) stores.Server {
					store := db.at(proxy.Addr).store(t)
					proxy.LoseEvery(5)
					t.Cleanup(func() { proxy.LoseEvery(0) })
					return store
				},
			})
			require.Positive(t, proxy.Lost())
		})
	}
	t.Run("SQLite", func(t *testing.T) {
		store := sqlite(t).store(t)
		storetest.Run(t, storetest.Config{
			New: func(t *testing.T) stores.Server { return store },
			// Without write-ahead logging, so that readers have to wait too.
			Unreachable: func(t *testing.T) stores.Server {
				locked := database{sqlstore.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "locked.db"), nil}
				store := locked.store(t, sqlstore.WithTimeout(200*time.Millisecond))
				conn, err := locked.open(t).Conn(t.Context())
				require.NoError(t, err)
				_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
				require.NoError(t, err)
				t.Cleanup(func() { conn.Close() })
				return store
			},
			Small: func(t *testing.T) stores.Server {
				small := sqlite(t)
				small.dsn += "&_pragma=max_page_count(200)"
				return small.store(t)
			},
		})
	})
}
