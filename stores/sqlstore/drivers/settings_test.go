//go:build unix

package drivers_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// However the database keeps transactions apart, and however the driver counts rows and
// sends statements, the contract holds, and nothing is lost by processes at once.
func TestSettings(t *testing.T) {
	for name, how := range map[string]struct {
		make func(testing.TB) database
		dsn  string
	}{
		"PostgreSQL, serializable":                              {ownPostgreSQL, "&default_transaction_isolation=serializable"},
		"PostgreSQL, repeatable read":                           {ownPostgreSQL, "&default_transaction_isolation=repeatable%20read"},
		"PostgreSQL, nothing prepared":                          {ownPostgreSQL, "&default_query_exec_mode=exec"},
		"PostgreSQL, simple protocol":                           {ownPostgreSQL, "&default_query_exec_mode=simple_protocol"},
		"MariaDB, serializable":                                 {ownMariaDB, "?tx_isolation=%27SERIALIZABLE%27"},
		"MariaDB, read committed":                               {ownMariaDB, "?tx_isolation=%27READ-COMMITTED%27"},
		"MariaDB, rows found are counted, in another time zone": {ownMariaDB, "?clientFoundRows=true&parseTime=true&interpolateParams=true&time_zone=%27%2B05:00%27"},
	} {
		t.Run(name, func(t *testing.T) {
			d := how.make(t)
			d.dsn += how.dsn
			all, visits := d.processes(t, 2, times(5), func() {})
			require.Zero(t, all.Unknown)
			require.EqualValues(t, all.Counted, visits)
			if soak {
				store := d.store(t)
				storetest.Run(t, storetest.Config{New: func(*testing.T) stores.Server { return store }})
			} else {
				basics(t, d)
			}
		})
	}
}

// basics is what depends on how rows are counted.
func basics(t *testing.T, d database) {
	store := d.store(t)
	key := newKey()
	rev := save(t, store, key, "one", "")
	_, err := store.Save(t.Context(), key, record("two", ""))
	require.ErrorIs(t, err, stores.ErrConflict)
	same := record("one", rev)
	for range 3 { // the same bytes again
		same.Revision, err = store.Save(t.Context(), key, same)
		require.NoError(t, err)
	}
	_, err = store.Save(t.Context(), key, record("three", rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	for range 2 {
		_, err = store.Touch(t.Context(), key, same.Revision, same.Expires)
		require.NoError(t, err)
		_, err = store.Touch(t.Context(), key, rev, same.Expires)
		require.ErrorIs(t, err, stores.ErrConflict)
		require.NoError(t, store.Put(t.Context(), newKey(), same))
	}
	conflicts, err := store.SaveMany(t.Context(), []stores.Key{key, newKey(), key}, []stores.Record{same, same, same})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true}, conflicts)

	brief := newKey()
	until := time.Now().Add(200 * time.Millisecond)
	_, err = store.Save(t.Context(), brief, stores.Record{Data: []byte("brief"), Expires: until})
	require.NoError(t, err)
	time.Sleep(time.Until(until) + 50*time.Millisecond)
	_, err = store.Load(t.Context(), brief, stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound)
	save(t, store, brief, "anew", "")
	_, err = store.Save(t.Context(), brief, record("again", ""))
	require.ErrorIs(t, err, stores.ErrConflict)

	owner := newKey()
	e := stores.Entry{Key: key, Data: []byte("entry"), Expires: time.Now().Add(time.Hour)}
	first, err := store.AddEntry(t.Context(), owner, e)
	require.NoError(t, err)
	again, err := store.AddEntry(t.Context(), owner, e)
	require.NoError(t, err)
	require.Equal(t, first, again)
	e.Key = newKey()
	next, err := store.AddEntry(t.Context(), owner, e)
	require.NoError(t, err)
	require.Greater(t, next, first)
}

// A standby may not know yet that a session has ended, or that there is one: it is
// refused, and is neither "no session" nor an old one.
func TestStandbyIsRefused(t *testing.T) {
	primary := postgresql(t, "wal_level=replica")
	store := primary.store(t)
	key := newKey()
	rev := save(t, store, key, "data", "")
	_, err := store.AddEntry(t.Context(), key, stores.Entry{Key: key, Data: []byte("entry"), Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)

	replica := database{sqlstore.PostgreSQL, "pgx", primary.server.Standby(t).DSN, nil, 0}
	db := replica.open(t)
	standby, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	require.NoError(t, db.QueryRow("SELECT data FROM bulla_sessions").Scan(new([]byte)), "it has the session")
	for what, call := range calls(standby, key, rev) {
		if what != "Sweep" && what != "Migrate" {
			requireOutage(t, what, call(t.Context()))
		}
	}
	for what, call := range map[string]func() error{
		"Load":     func() error { _, err := standby.Load(t.Context(), newKey(), stores.MayBeStale); return err },
		"LoadMany": func() error { _, err := standby.LoadMany(t.Context(), []stores.Key{newKey()}); return err },
		"Entries":  func() error { _, err := standby.Entries(t.Context(), newKey()); return err },
	} {
		err := call()
		requireOutage(t, what, err)
		require.ErrorContains(t, err, "replica", what)
	}
	_, err = store.Load(t.Context(), newKey(), stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound, "the primary knows")
}

// The schema that a program runs among its migrations is the one that Migrate makes, and
// many processes may migrate at once.
func TestSchema(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		schema, err := sqlstore.Schema(d.dialect)
		require.NoError(t, err)
		for statement := range strings.SplitSeq(strings.TrimSpace(schema), ";") {
			if strings.TrimSpace(statement) != "" {
				_, err := db.ExecContext(t.Context(), statement)
				require.NoError(t, err)
			}
		}
		store, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		save(t, store, newKey(), "data", "")

		qualified := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "public.Other", sqlstore.SQLite: "main.Other", sqlstore.MySQL: "Other"}[d.dialect]
		errs := make(chan error)
		for range 8 {
			go func() {
				store, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(qualified))
				if err == nil {
					err = store.Migrate(t.Context())
				}
				errs <- err
			}()
		}
		for range 8 {
			require.NoError(t, <-errs)
		}
		other, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(qualified))
		require.NoError(t, err)
		key := newKey()
		save(t, other, key, "elsewhere", "")
		_, err = store.Load(t.Context(), key, stores.Fresh)
		require.ErrorIs(t, err, stores.ErrNotFound)
		_, err = other.Sweep(t.Context(), 10)
		require.NoError(t, err)
		var quoted sql.NullString
		require.NoError(t, db.QueryRow("SELECT max(name) FROM "+map[bool]string{true: "`Other`", false: `"Other"`}[d.dialect == sqlstore.MySQL]).Scan(&quoted))
		require.Equal(t, key.Name(), quoted.String)
	})
}
