//go:build unix

package drivers_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite"

	"github.com/bulla-go/bulla/internal/sqltest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// smallSQLite, smallPostgreSQL and smallMariaDB have room for some hundred to some
// thousand records of 1000 bytes.
func smallSQLite(t testing.TB) database {
	d := sqlite(t)
	d.dsn += "&_pragma=max_page_count(200)"
	return d
}

func smallPostgreSQL(t testing.TB) database {
	s := sqltest.SmallPostgreSQL(t)
	return database{sqlstore.PostgreSQL, "pgx", s.DSN, s, 0}
}

func smallMariaDB(t testing.TB) database {
	return mariadb(t, "innodb-file-per-table=0", "innodb-data-file-path=ibdata1:12M:autoextend:max:20M")
}

// requireFull creates records until there is no room, and says by what error that was.
func requireFull(t testing.TB, store *sqlstore.Store) {
	t.Helper()
	for n := 0; ; n++ {
		_, err := store.Save(t.Context(), newKey(), record(strings.Repeat("x", 1000), ""))
		if err == nil {
			require.Less(t, n, 20_000)
			continue
		}
		require.ErrorIs(t, err, stores.ErrFull)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrTooLarge} {
			require.NotErrorIs(t, err, wrong)
		}
		return
	}
}

func requireTooLarge(t testing.TB, what string, err error) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrTooLarge, what)
	for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrUnavailable, stores.ErrFull} {
		require.NotErrorIs(t, err, wrong, what)
	}
}

// writeLarge writes data by each way there is, over a record and to a new key.
func writeLarge(t testing.TB, store *sqlstore.Store, data string) map[string]error {
	t.Helper()
	key := newKey()
	rev := save(t, store, key, "data", "")
	errs := make(map[string]error)
	_, errs["create"] = store.Save(t.Context(), newKey(), record(data, ""))
	_, errs["Save"] = store.Save(t.Context(), key, record(data, rev))
	errs["Put"] = store.Put(t.Context(), newKey(), record(data, ""))
	_, errs["SaveMany"] = store.SaveMany(t.Context(), []stores.Key{key}, []stores.Record{record(data, rev)})
	_, errs["AddEntry"] = store.AddEntry(t.Context(), newKey(), stores.Entry{Key: key, Data: []byte(data), Expires: record("", "").Expires})
	return errs
}

// A record that the database does not take is told apart from an outage. MariaDB may
// break the connection off while it is being sent.
func TestTooLarge(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		d := mariadb(t, "max-allowed-packet=1M")
		for _, setting := range []string{"", "?maxAllowedPacket=0", "?maxAllowedPacket=1000000", "?interpolateParams=true"} {
			d := d
			d.dsn += setting
			store := d.store(t)
			for what, err := range writeLarge(t, store, strings.Repeat("x", 900_000)) {
				if what != "SaveMany" { // Save was first
					require.NoError(t, err, what)
				}
			}
			for _, size := range []int{1_100_000, 8_000_000} {
				for what, err := range writeLarge(t, store, strings.Repeat("x", size)) {
					requireTooLarge(t, setting+" "+what, err)
				}
			}
		}
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		d := sqlite(t)
		db := d.open(t)
		db.SetMaxOpenConns(1)
		store := d.over(t, db)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		const lengthLimit = 0 // SQLITE_LIMIT_LENGTH
		_, err = sqlite3.Limit(conn, lengthLimit, 100_000)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		for what, err := range writeLarge(t, store, strings.Repeat("x", 200_000)) {
			requireTooLarge(t, what, err)
		}
	})
	// Its limit is a gigabyte: here a trigger answers in its stead.
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		d := ownPostgreSQL(t)
		db := d.open(t)
		store := d.over(t, db)
		for _, text := range []string{
			`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF length(NEW.data) > 100000 THEN RAISE program_limit_exceeded; END IF;
				RETURN NEW;
			END $$`,
			"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON bulla_sessions FOR EACH ROW EXECUTE FUNCTION refuse()",
			"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON bulla_sessions_owners FOR EACH ROW EXECUTE FUNCTION refuse()",
		} {
			_, err := db.Exec(text)
			require.NoError(t, err)
		}
		for what, err := range writeLarge(t, store, strings.Repeat("x", 200_000)) {
			requireTooLarge(t, what, err)
		}
	})
}
