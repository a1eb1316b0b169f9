//go:build unix

package drivers_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// calls are one of each method.
func calls(store *sqlstore.Store, key stores.Key, rev stores.Revision) map[string]func(context.Context) error {
	e := stores.Entry{Key: key, Data: []byte("entry"), Expires: time.Now().Add(time.Hour)}
	return map[string]func(context.Context) error{
		"Load":   func(ctx context.Context) error { _, err := store.Load(ctx, key, stores.Fresh); return err },
		"Save":   func(ctx context.Context) error { _, err := store.Save(ctx, key, record("new", rev)); return err },
		"create": func(ctx context.Context) error { _, err := store.Save(ctx, newKey(), record("new", "")); return err },
		"Put":    func(ctx context.Context) error { return store.Put(ctx, newKey(), record("new", "")) },
		"Touch": func(ctx context.Context) error {
			_, err := store.Touch(ctx, key, rev, time.Now().Add(2*time.Hour))
			return err
		},
		"LoadMany": func(ctx context.Context) error { _, err := store.LoadMany(ctx, []stores.Key{key}); return err },
		"SaveMany": func(ctx context.Context) error {
			_, err := store.SaveMany(ctx, []stores.Key{key}, []stores.Record{record("new", rev)})
			return err
		},
		"AddEntry":      func(ctx context.Context) error { _, err := store.AddEntry(ctx, newKey(), e); return err },
		"Entries":       func(ctx context.Context) error { _, err := store.Entries(ctx, key); return err },
		"RemoveEntries": func(ctx context.Context) error { return store.RemoveEntries(ctx, newKey(), key) },
		"Sweep":         func(ctx context.Context) error { _, err := store.Sweep(ctx, 10); return err },
		"Migrate":       store.Migrate,
	}
}

func requireOutage(t *testing.T, what string, err error) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrUnavailable, what)
	for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrInvalidRecord, stores.ErrTooLarge, stores.ErrFull, context.Canceled} {
		require.NotErrorIs(t, err, wrong, what)
	}
}

// Where somebody holds all connections, a call ends within its time, and says so.
func TestExhaustedPool(t *testing.T) {
	const limit = 100 * time.Millisecond
	each(t, func(t *testing.T, d database) {
		key := newKey()
		rev := save(t, d.store(t), key, "data", "")
		db := d.open(t)
		db.SetMaxOpenConns(1)
		store, err := sqlstore.New(db, d.dialect, sqlstore.WithTimeout(limit))
		require.NoError(t, err)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		for what, call := range calls(store, key, rev) {
			began := time.Now()
			err := call(context.Background())
			requireOutage(t, what, err)
			require.ErrorIs(t, err, context.DeadlineExceeded, what)
			require.ErrorContains(t, err, limit.String())
			require.Less(t, time.Since(began), 20*limit, what) // Migrate tries twice
		}
		// The caller's deadline may be earlier, and then it is the caller's.
		late, cancel := context.WithTimeout(t.Context(), limit/4)
		defer cancel()
		_, err = store.Load(late, key, stores.Fresh)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, stores.ErrUnavailable)

		require.NoError(t, conn.Close())
		requireData(t, store, key, "data")
	})
}

// A pool that is closed, a connection that is done and a server that nobody runs are
// outages.
func TestClosedPool(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		store := d.over(t, db)
		key := newKey()
		rev := save(t, store, key, "data", "")
		require.NoError(t, db.Close())
		for what, call := range calls(store, key, rev) {
			requireOutage(t, what, call(t.Context()))
		}
		if d.server == nil {
			return
		}
		store, err := sqlstore.New(d.at("127.0.0.1:1").open(t), d.dialect)
		require.NoError(t, err)
		for what, call := range calls(store, key, rev) {
			requireOutage(t, what, call(t.Context()))
		}
	})
}

// A browser that goes away does not cost a connection: what was asked is answered.
func TestCancelledCallers(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		db.SetMaxOpenConns(1)
		store := d.over(t, db)
		key := newKey()
		save(t, store, key, "data", "")
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		before := db.Stats().WaitCount
		loaded := make(chan error)
		go func() {
			_, err := store.Load(ctx, key, stores.Fresh)
			loaded <- err
		}()
		require.Eventually(t, func() bool { return db.Stats().WaitCount > before }, 20*time.Second, time.Millisecond)
		cancel()
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, conn.Close())
		require.NoError(t, <-loaded)
		_, err = store.Load(ctx, key, stores.Fresh)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, stores.ErrUnavailable)
		require.Zero(t, closed(db))
	})
}

func closed(db *sql.DB) int64 {
	s := db.Stats()
	return s.MaxIdleClosed + s.MaxIdleTimeClosed + s.MaxLifetimeClosed
}
