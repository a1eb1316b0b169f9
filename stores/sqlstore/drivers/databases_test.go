//go:build unix

package drivers_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/bulla-go/bulla/internal/sqltest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// The driver logs each broken connection; the tests break many.
func init() { mysql.SetLogger(&mysql.NopLogger{}) }

// database is one that a test runs on.
type database struct {
	dialect sqlstore.Dialect
	driver  string
	dsn     string
	server  *sqltest.Server // none of SQLite

	// limit is the time limit of the stores that a test does not give another; none is
	// patience: what a busy machine delays is no failure.
	limit time.Duration
}

const patience = 30 * time.Second

func (d database) timeout() time.Duration {
	if d.limit != 0 {
		return d.limit
	}
	return patience
}

// pragmas are what the documentation recommends.
const pragmas = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10)&_pragma=synchronous(NORMAL)"

func sqlite(t testing.TB) database {
	return database{sqlstore.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "sessions.db") + pragmas, nil, 0}
}

func postgresql(t testing.TB, settings ...string) database {
	s := sqltest.PostgreSQL(t, settings...)
	return database{sqlstore.PostgreSQL, "pgx", s.DSN, s, 0}
}

func mariadb(t testing.TB, settings ...string) database {
	s := sqltest.MariaDB(t, settings...)
	return database{sqlstore.MySQL, "mysql", s.DSN, s, 0}
}

// shared are servers that several tests use, each of them a database of its own.
var shared struct {
	postgresql, mariadb sqltest.Shared
	databases           atomic.Int64
}

// own returns the server with a database of its own.
func own(t testing.TB, dialect sqlstore.Dialect, s *sqltest.Server) database {
	t.Helper()
	d := database{sqlstore.PostgreSQL, "pgx", s.DSN, s, 0}
	there, path := "/postgres?", "/%s?"
	if dialect == sqlstore.MySQL {
		d = database{sqlstore.MySQL, "mysql", s.DSN, s, 0}
		there, path = ")/bulla", ")/%s"
	}
	name := fmt.Sprint("test", shared.databases.Add(1))
	_, err := d.open(t).Exec("CREATE DATABASE " + name)
	require.NoError(t, err)
	d.dsn = strings.Replace(d.dsn, there, fmt.Sprintf(path, name), 1)
	return d
}

func ownPostgreSQL(t testing.TB) database {
	t.Helper()
	return own(t, sqlstore.PostgreSQL, shared.postgresql.PostgreSQL(t))
}

func ownMariaDB(t testing.TB) database {
	t.Helper()
	return own(t, sqlstore.MySQL, shared.mariadb.MariaDB(t))
}

// each runs a test on each database, an empty one, at once.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for name, make := range map[string]func(testing.TB) database{"SQLite": sqlite, "PostgreSQL": ownPostgreSQL, "MariaDB": ownMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// servers runs a test on the two that are servers, as each does.
func servers(t *testing.T, test func(t *testing.T, d database)) {
	for name, make := range map[string]func(testing.TB) database{"PostgreSQL": ownPostgreSQL, "MariaDB": ownMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// at returns the same database behind a proxy.
func (d database) at(addr string) database {
	d.dsn = strings.ReplaceAll(d.dsn, d.server.Addr, addr)
	return d
}

// open opens a pool of its own.
func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	db.SetMaxIdleConns(16)
	t.Cleanup(func() { db.Close() })
	return db
}

// store returns one with tables, and a pool of its own.
func (d database) store(t testing.TB, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	return d.over(t, d.open(t), opts...)
}

// over returns a store with tables that uses db.
func (d database) over(t testing.TB, db *sql.DB, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, d.dialect, append([]sqlstore.Option{sqlstore.WithTimeout(d.timeout())}, opts...)...)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

func newKey() stores.Key {
	var hash [24]byte
	rand.Read(hash[:])
	return stores.NewKey(hash)
}

func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev}
}

func save(t testing.TB, store *sqlstore.Store, key stores.Key, data string, rev stores.Revision) stores.Revision {
	t.Helper()
	rev, err := store.Save(t.Context(), key, record(data, rev))
	require.NoError(t, err)
	return rev
}

func requireData(t testing.TB, store *sqlstore.Store, key stores.Key, data string) {
	t.Helper()
	rec, err := store.Load(t.Context(), key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, data, string(rec.Data))
}
