//go:build unix

package drivers_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// How many statements each call is, as the documentation has it.
func TestStatements(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, recorder := d.recorded(t)
		store := d.over(t, db)
		key, owner := newKey(), newKey()
		only := func(dialect sqlstore.Dialect, more int) int {
			if d.dialect == dialect {
				return 1 + more
			}
			return 1
		}
		var rev stores.Revision
		e := stores.Entry{Key: key, Data: []byte("entry"), Expires: time.Now().Add(time.Hour)}
		for _, step := range []struct {
			what string
			want int
			call func() error
		}{
			{"Load of nothing", only(sqlstore.PostgreSQL, 1), func() error {
				_, err := store.Load(t.Context(), key, stores.Fresh)
				require.ErrorIs(t, err, stores.ErrNotFound)
				return nil
			}},
			{"Save of a new one", 1, func() (err error) { rev, err = store.Save(t.Context(), key, record("one", "")); return err }},
			{"Save", 1, func() (err error) { rev, err = store.Save(t.Context(), key, record("two", rev)); return err }},
			{"Save that comes too late", 1, func() error {
				_, err := store.Save(t.Context(), key, record("late", "an old revision!"))
				require.ErrorIs(t, err, stores.ErrConflict)
				return nil
			}},
			{"Load", 1, func() error { _, err := store.Load(t.Context(), key, stores.Fresh); return err }},
			{"Touch", 1, func() error {
				_, err := store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
				return err
			}},
			{"Touch that moves nothing", 2, func() error {
				_, err := store.Touch(t.Context(), key, rev, time.Now().Add(time.Hour))
				return err
			}},
			{"Put", 1, func() error { return store.Put(t.Context(), key, record("three", "")) }},
			{"AddEntry", 2, func() error { _, err := store.AddEntry(t.Context(), owner, e); return err }},
			{"Entries", 1, func() error { _, err := store.Entries(t.Context(), owner); return err }},
			{"RemoveEntries", 1, func() error { return store.RemoveEntries(t.Context(), owner, key) }},
			{"Count", 1, func() error { _, err := store.Count(t.Context()); return err }},
			{"Save over one that has expired", only(sqlstore.MySQL, 1), func() error {
				key := newKey()
				_, err := d.open(t).Exec("INSERT INTO bulla_sessions (name, revision, expires, data) VALUES ('" + key.Name() + "', '0123456789abcdef', 1, 'old')")
				require.NoError(t, err)
				_, err = store.Save(t.Context(), key, record("anew", ""))
				return err
			}},
		} {
			recorder.take()
			require.NoError(t, step.call(), step.what)
			require.Len(t, recorder.take(), step.want, step.what)
		}
	})
}
