//go:build unix

package drivers_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// size returns how many rows a table has.
func size(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// Sweep removes what has expired, and nothing else.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		store := d.over(t, db)
		d.fill(t, db, 1, 250, "", true)
		d.fill(t, db, 1001, 20, "", false)
		owner := newKey()
		live := stores.Entry{Key: newKey(), Data: []byte("entry"), Expires: time.Now().Add(time.Hour)}
		_, err := store.AddEntry(t.Context(), owner, live)
		require.NoError(t, err)

		for _, step := range []struct{ limit, want int }{{0, 0}, {1, 1}, {200, 200}, {100, 100}, {1000, 199}, {1000, 0}} {
			removed, err := store.Sweep(t.Context(), step.limit)
			require.NoError(t, err)
			require.Equal(t, step.want, removed)
		}
		require.Equal(t, 20, size(t, db, "bulla_sessions"))
		require.Equal(t, 22, size(t, db, "bulla_sessions_owners")) // one is the owner's last number
		list, err := store.Entries(t.Context(), owner)
		require.NoError(t, err)
		require.Len(t, list, 1)

		// A row that is found and then written again stays.
		key := newKey()
		brief := stores.Record{Data: []byte("brief"), Expires: time.Now().Add(200 * time.Millisecond)}
		_, err = store.Save(t.Context(), key, brief)
		require.NoError(t, err)
		time.Sleep(time.Until(brief.Expires) + 100*time.Millisecond)
		save(t, store, key, "anew", "")
		removed, err := store.Sweep(t.Context(), 1000)
		require.NoError(t, err)
		require.Zero(t, removed)
		requireData(t, store, key, "anew")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = store.Sweep(ctx, 10)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// WithSweep does it by itself, until its context ends.
func TestWithSweep(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		d.over(t, db)
		d.fill(t, db, 1, 250, "", true)
		ctx, cancel := context.WithCancel(t.Context())
		d.over(t, db, sqlstore.WithSweep(ctx, 10*time.Millisecond, func(err error) { t.Error(err) }))
		end := time.Now().Add(20 * time.Second)
		for size(t, db, "bulla_sessions")+size(t, db, "bulla_sessions_owners") > 0 {
			require.True(t, time.Now().Before(end))
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		time.Sleep(50 * time.Millisecond)
		d.fill(t, db, 1, 10, "", true)
		time.Sleep(50 * time.Millisecond)
		require.Equal(t, 10, size(t, db, "bulla_sessions"))
	})
}

// While a step of a sweep is under way, here for as long as it takes, nothing that a
// request does waits for it, whatever the isolation level.
func TestSweepBlocksNobody(t *testing.T) {
	// SQLite has one lock for all who write; that a step is short is measured.
	servers(t, func(t *testing.T, d database) {
		for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
			t.Run(level.String(), func(t *testing.T) {
				recorded, recorder := d.recorded(t)
				sweeper := d.over(t, recorded)
				db := d.open(t)
				store := d.over(t, db, sqlstore.WithTimeout(5*time.Second))
				d.fill(t, db, 1, 50, "", true)
				d.fill(t, db, 1001, 50, "", false)
				key := newKey()
				rev := save(t, store, key, "data", "")
				recorder.take()
				_, err := sweeper.Sweep(t.Context(), 50)
				require.NoError(t, err)
				clear := func(table string) {
					_, err := db.ExecContext(t.Context(), "DELETE FROM "+table)
					require.NoError(t, err)
				}
				clear("bulla_sessions_owners")
				d.fill(t, db, 1, 50, "", true)

				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				require.NoError(t, err)
				defer tx.Rollback()
				deleted := int64(0)
				for _, r := range recorder.take() {
					if !strings.HasPrefix(r.text, "DELETE") {
						continue
					}
					res, err := tx.ExecContext(t.Context(), r.text, r.values()...)
					require.NoError(t, err)
					n, err := res.RowsAffected()
					require.NoError(t, err)
					deleted += n
				}
				require.EqualValues(t, 50, deleted)
				// The next that expires is near to what is being removed.
				for _, life := range []time.Duration{time.Second, time.Minute, time.Hour} {
					_, err := store.Save(t.Context(), newKey(), stores.Record{Data: []byte("new"), Expires: time.Now().Add(life)})
					require.NoError(t, err)
				}
				for what, call := range calls(store, key, rev) {
					if what == "Sweep" || what == "Migrate" || what == "Touch" || what == "SaveMany" || what == "Save" {
						continue
					}
					require.NoError(t, call(t.Context()), what)
				}
				rev, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
				require.NoError(t, err)
				rev = save(t, store, key, "other", rev)
				conflicts, err := store.SaveMany(t.Context(), []stores.Key{key}, []stores.Record{record("ended", rev)})
				require.NoError(t, err)
				require.Equal(t, []bool{false}, conflicts)
				require.NoError(t, tx.Rollback())
				clear("bulla_sessions")
				clear("bulla_sessions_owners")
			})
		}
	})
}
