//go:build unix

package drivers_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// fill makes n sessions, each of an owner of its own, or all of one. They end in an
// hour, or by past ended an hour ago.
func (d database) fill(t testing.TB, db *sql.DB, from, n int, owner string, past bool) {
	t.Helper()
	expires := time.Now().Add(time.Hour)
	if past {
		expires = time.Now().Add(-time.Hour)
	}
	series, name := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "SELECT i FROM generate_series(%d, %d) AS s(i)",
		sqlstore.SQLite:     "WITH RECURSIVE s(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s",
		sqlstore.MySQL:      "SELECT seq AS i FROM seq_%d_to_%d",
	}[d.dialect], map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "lpad(to_hex(i), 32, '0')",
		sqlstore.SQLite:     "printf('%032x', i)",
		sqlstore.MySQL:      "LPAD(HEX(i), 32, '0')",
	}[d.dialect]
	bytes := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "decode(md5(i::text), 'hex')", sqlstore.SQLite: "randomblob(16)", sqlstore.MySQL: "UNHEX(MD5(i))",
	}[d.dialect]
	filed := "'" + owner + "'"
	if owner == "" {
		filed = name
	}
	series = fmt.Sprintf(series, from, from+n-1)
	for _, text := range []string{
		"INSERT INTO bulla_sessions (name, revision, expires, data) SELECT %[1]s, %[2]s, %[3]d, %[2]s FROM (%[4]s) s",
		"INSERT INTO bulla_sessions_owners (owner, name, number, expires, written, data) SELECT %[5]s, %[1]s, i + 1, %[3]d, 0, %[2]s FROM (%[4]s) s",
	} {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf(text, name, bytes, expires.UnixMilli(), series, filed))
		require.NoError(t, err)
	}
}

// analyze lets the database count what there is.
func (d database) analyze(t testing.TB, db *sql.DB) {
	t.Helper()
	for _, table := range []string{"bulla_sessions", "bulla_sessions_owners"} {
		text := map[sqlstore.Dialect]string{
			sqlstore.PostgreSQL: "VACUUM ANALYZE ", sqlstore.SQLite: "ANALYZE ", sqlstore.MySQL: "OPTIMIZE TABLE ",
		}[d.dialect] + table
		rows, err := db.QueryContext(t.Context(), text)
		require.NoError(t, err)
		require.NoError(t, rows.Close())
	}
}

// scans finds what a plan says about reading a whole table or index.
var scans = map[sqlstore.Dialect]*regexp.Regexp{
	sqlstore.PostgreSQL: regexp.MustCompile(`Seq Scan on `),
	sqlstore.SQLite:     regexp.MustCompile(`detail=SCAN (r|bulla)`),
	sqlstore.MySQL:      regexp.MustCompile(`type=(ALL|index) `),
}

// Ending the sessions of one user among many others takes few statements, and none of
// any kind reads a whole table.
func TestNoScans(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		others, mine := 100_000, 10_000
		if d.dialect == sqlstore.SQLite { // in Go, under the race detector, even a long text takes seconds
			others, mine = 2000, 50
		}
		db, recorder := d.recorded(t)
		store := d.over(t, db, sqlstore.WithTimeout(time.Minute))
		owner := newKey()
		d.fill(t, db, 1, others, "", false)
		d.fill(t, db, 1+others, mine, owner.Name(), false)
		d.fill(t, db, 1+others+mine, 1000, "", true)
		d.analyze(t, db)
		recorder.take()

		began := time.Now()
		entries, err := store.Entries(t.Context(), owner)
		require.NoError(t, err)
		require.Len(t, entries, mine)
		var keys []stores.Key
		for _, e := range entries {
			keys = append(keys, e.Key)
		}
		recs, err := store.LoadMany(t.Context(), keys)
		require.NoError(t, err)
		stub := record("ended", "")
		for i := range recs {
			require.NotEmpty(t, recs[i].Revision)
			recs[i].Data, recs[i].Expires = stub.Data, stub.Expires
		}
		conflicts, err := store.SaveMany(t.Context(), keys, recs)
		require.NoError(t, err)
		require.NotContains(t, conflicts, true)
		require.NoError(t, store.RemoveEntries(t.Context(), owner, keys...))
		took := time.Since(began)
		ran := recorder.take()
		require.Len(t, ran, 1+3*((mine+499)/500))
		t.Logf("%d sessions of one owner among %d ended in %v by %d statements", mine, others, took, len(ran))

		// And everything else.
		key := newKey()
		rev := save(t, store, key, "one", "")
		rev = save(t, store, key, "two", rev)
		_, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
		require.NoError(t, err)
		require.NoError(t, store.Put(t.Context(), key, record("three", "")))
		_, err = store.Save(t.Context(), key, record("four", ""))
		require.ErrorIs(t, err, stores.ErrConflict)
		requireData(t, store, key, "three")
		_, err = store.AddEntry(t.Context(), owner, stores.Entry{Key: key, Data: []byte("entry"), Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		few, err := store.LoadMany(t.Context(), keys[:3])
		require.NoError(t, err)
		_, err = store.SaveMany(t.Context(), keys[:3], few)
		require.NoError(t, err)
		swept, err := store.Sweep(t.Context(), 300)
		require.NoError(t, err)
		require.Equal(t, 300, swept)

		plain := d.open(t)
		seen := make(map[string]bool)
		for _, r := range append(ran, recorder.take()...) {
			if kind, _, _ := strings.Cut(r.text, " "); seen[r.text] || d.dialect == sqlstore.MySQL && kind == "INSERT" {
				continue // of an INSERT, MariaDB says that it reads all of what it inserts
			}
			seen[r.text] = true
			for _, line := range d.plan(t, plain, r) {
				require.False(t, scans[d.dialect].MatchString(line), "%.200s\n%s", r.text, line)
			}
		}
		require.Greater(t, len(seen), 9)
	})
}

// An entry that some other program left is an outage, and not an empty list.
func TestForeignEntries(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		store := d.over(t, db)
		owner := newKey()
		_, err := store.AddEntry(t.Context(), owner, stores.Entry{Key: newKey(), Data: []byte("entry"), Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "UPDATE bulla_sessions_owners SET name = 'someone' WHERE name <> ''")
		require.NoError(t, err)
		_, err = store.Entries(t.Context(), owner)
		requireOutage(t, "Entries", err)
		require.NotContains(t, err.Error(), "someone")
	})
}
