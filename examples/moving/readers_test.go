package moving_test

import (
	"context"
	"database/sql"
	"encoding/gob"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/mysqlstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	_ "github.com/go-sql-driver/mysql"
	"github.com/gorilla/securecookie"
	gorillasessions "github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/internal/sqltest"
	"github.com/bulla-go/bulla/interop/gorilla"
	"github.com/bulla-go/bulla/interop/migrate"
	bullascs "github.com/bulla-go/bulla/interop/scs"
)

// Cart is a type of an application's.
type Cart struct{ Items []string }

func init() { gob.Register(Cart{}) }

// logIn lets scs begin a session, and returns the cookie's value.
func logIn(t testing.TB, m *scs.SessionManager) string {
	w := httptest.NewRecorder()
	m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "user", "ada")
		m.Put(r.Context(), "cart", Cart{[]string{"tea"}})
		m.Put(r.Context(), "visits", 3)
	})).ServeHTTP(w, httptest.NewRequest("GET", "https://example.com/", nil))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0].Value
}

// knows tells whether scs itself has the session.
func knows(t testing.TB, m *scs.SessionManager, value string) bool {
	ctx, err := m.Load(context.Background(), value)
	require.NoError(t, err)
	return m.GetString(ctx, "user") == "ada"
}

// checkSCS has scs write, and reads and retires it. ends moves the record's end to now.
func checkSCS(t *testing.T, m *scs.SessionManager, r *bullascs.Reader, ends func(value string)) {
	t.Helper()
	before := time.Now()
	value := logIn(t, m)
	s, err := r.Read(t.Context(), value)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"user": "ada", "cart": Cart{[]string{"tea"}}, "visits": 3}, s.Values)
	require.WithinRange(t, s.Deadline, before.Add(m.Lifetime), time.Now().Add(m.Lifetime))

	require.NoError(t, r.Retire(t.Context(), value))
	require.NoError(t, r.Retire(t.Context(), value))
	_, err = r.Read(t.Context(), value)
	require.NoError(t, err, "within the grace")
	require.True(t, knows(t, m, value))

	other := logIn(t, m)
	ends(value)
	_, err = r.Read(t.Context(), value)
	require.ErrorIs(t, err, migrate.ErrNone)
	require.False(t, knows(t, m, value))
	_, err = r.Read(t.Context(), other)
	require.NoError(t, err, "another session is not touched")
	require.NoError(t, r.Retire(t.Context(), value))
	require.False(t, knows(t, m, value), "what has ended stays so")
}

func TestSCSInRedis(t *testing.T) {
	client := redistest.Single(t).Client()
	for what, hashed := range map[string]bool{"plain": false, "hashed": true} {
		t.Run(what, func(t *testing.T) {
			m := scs.New()
			m.Store, m.HashTokenInStore = goredisstore.New(client), hashed
			var opts []bullascs.Option
			if hashed {
				opts = append(opts, bullascs.WithHashedTokens())
			}
			r, err := bullascs.Redis(client, opts...)
			require.NoError(t, err)
			checkSCS(t, m, r, func(value string) {
				keys, err := client.Keys(t.Context(), "scs:session:*").Result()
				require.NoError(t, err)
				ended := 0
				for _, key := range keys {
					left, err := client.PTTL(t.Context(), key).Result()
					require.NoError(t, err)
					if left <= time.Minute { // the one that was retired
						require.Positive(t, left)
						require.NoError(t, client.Del(t.Context(), key).Err())
						ended++
					}
				}
				require.Equal(t, 1, ended)
			})
		})
	}
}

func TestSCSInSQL(t *testing.T) {
	open := func(t *testing.T, driver, address string) *sql.DB {
		db, err := sql.Open(driver, address)
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		return db
	}
	exec := func(t *testing.T, db *sql.DB, statement string, args ...any) int64 {
		result, err := db.Exec(statement, args...)
		require.NoError(t, err)
		n, err := result.RowsAffected()
		require.NoError(t, err)
		return n
	}
	for what, c := range map[string]struct {
		dialect bullascs.Dialect
		open    func(t *testing.T) (*sql.DB, scs.Store)
		schema  string
		ends    string // sets the end of the record to now, if it is within two minutes
	}{
		"PostgreSQL": {bullascs.PostgreSQL, func(t *testing.T) (*sql.DB, scs.Store) {
			server := sqltest.PostgreSQL(t)
			pool, err := pgxpool.New(t.Context(), server.DSN)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			return open(t, "pgx", server.DSN), pgxstore.NewWithCleanupInterval(pool, 0)
		},
			"CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)",
			"UPDATE sessions SET expiry = current_timestamp WHERE token = $1 AND expiry < current_timestamp + interval '61 seconds'"},
		"MariaDB": {bullascs.MySQL, func(t *testing.T) (*sql.DB, scs.Store) {
			server := sqltest.MariaDB(t)
			db := open(t, "mysql", server.DSN)
			return db, mysqlstore.NewWithCleanupInterval(db, 0)
		},
			"CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL)",
			"UPDATE sessions SET expiry = UTC_TIMESTAMP(6) WHERE token = ? AND expiry < UTC_TIMESTAMP(6) + INTERVAL 61 SECOND"},
		"SQLite": {bullascs.SQLite, func(t *testing.T) (*sql.DB, scs.Store) {
			db := open(t, "sqlite", filepath.Join(t.TempDir(), "sessions.db"))
			return db, sqlite3store.NewWithCleanupInterval(db, 0)
		},
			"CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)",
			"UPDATE sessions SET expiry = julianday('now') WHERE token = ? AND expiry < julianday('now', '+61 seconds')"},
	} {
		t.Run(what, func(t *testing.T) {
			db, store := c.open(t)
			exec(t, db, c.schema)
			m := scs.New()
			m.Store = store
			r, err := bullascs.SQL(db, c.dialect)
			require.NoError(t, err)
			checkSCS(t, m, r, func(value string) {
				require.EqualValues(t, 1, exec(t, db, c.ends, value), "retired, it has a minute")
			})

			// A token in another case is another's, also where the database does not mind.
			value := logIn(t, m)
			exec(t, db, "UPDATE sessions SET token = LOWER(token)")
			_, err = r.Read(t.Context(), value)
			require.ErrorIs(t, err, migrate.ErrNone)

			exec(t, db, "ALTER TABLE sessions RENAME TO moved")
			_, err = r.Read(t.Context(), value)
			require.Error(t, err)
			require.NotErrorIs(t, err, migrate.ErrNone, "a table that is not there is not nobody")
			require.Error(t, r.Retire(t.Context(), value))
			r, err = bullascs.SQL(db, c.dialect, bullascs.WithTable("moved"))
			require.NoError(t, err)
			_, err = r.Read(t.Context(), value)
			require.ErrorIs(t, err, migrate.ErrNone)
		})
	}
}

// keep lets a store of gorilla's begin a session, and returns the cookie's value.
func keep(t testing.TB, store gorillasessions.Store) string {
	r, w := httptest.NewRequest("GET", "https://example.com/", nil), httptest.NewRecorder()
	s, err := store.New(r, "session-name")
	require.NoError(t, err)
	s.Values["user"], s.Values[7], s.Values["cart"] = "ada", 8, Cart{[]string{"tea"}}
	require.NoError(t, store.Save(r, w, s))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0].Value
}

func TestGorilla(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	redisStore := func(keyPairs ...[]byte) gorillasessions.Store {
		store, err := redistore.NewRediStore(2, "tcp", server.Addr, "", "", keyPairs...)
		require.NoError(t, err)
		t.Cleanup(func() { store.Close() })
		return store
	}
	for n := 1; n <= 2; n++ { // signed, and encrypted as well
		keyPairs := [][]byte{securecookie.GenerateRandomKey(64), securecookie.GenerateRandomKey(32)}[:n]
		for what, c := range map[string]struct {
			store gorillasessions.Store
			open  func() (*gorilla.Reader, error)
		}{
			"cookie": {gorillasessions.NewCookieStore(keyPairs...), func() (*gorilla.Reader, error) { return gorilla.Cookie("session-name", keyPairs) }},
			"Redis":  {redisStore(keyPairs...), func() (*gorilla.Reader, error) { return gorilla.Redis(client, "session-name", keyPairs) }},
			"files":  {gorillasessions.NewFilesystemStore(dir, keyPairs...), func() (*gorilla.Reader, error) { return gorilla.Files(root, "session-name", keyPairs) }},
		} {
			t.Run(fmt.Sprintf("%s, %d keys", what, n), func(t *testing.T) {
				r, err := c.open()
				require.NoError(t, err)
				before := time.Now().Truncate(time.Second)
				value := keep(t, c.store)
				s, err := r.Read(t.Context(), value)
				require.NoError(t, err)
				require.Equal(t, map[any]any{"user": "ada", 7: 8, "cart": Cart{[]string{"tea"}}}, s.Values)
				require.WithinRange(t, s.SignedAt, before, time.Now())
				require.NoError(t, r.Retire(t.Context(), value))
				_, err = r.Read(t.Context(), value)
				require.NoError(t, err, "within the grace")
				if what == "Redis" {
					keys, err := client.Keys(t.Context(), "session_*").Result()
					require.NoError(t, err)
					require.Len(t, keys, n)
					for _, key := range keys {
						left, err := client.PTTL(t.Context(), key).Result()
						require.NoError(t, err)
						require.LessOrEqual(t, left, time.Minute)
					}
				}
			})
		}
	}
}
