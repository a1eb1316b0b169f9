package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// broken is a database whose connections answer everything by one error.
type broken struct{ err error }

func (b broken) Connect(context.Context) (driver.Conn, error) { return b, nil }
func (b broken) Driver() driver.Driver                        { return nil }
func (b broken) Prepare(string) (driver.Stmt, error)          { return nil, b.err }
func (b broken) Begin() (driver.Tx, error)                    { return nil, b.err }
func (broken) Close() error                                   { return nil }

// What database/sql answers where a connection has gone or was given back is an outage,
// and never "no session".
func TestBrokenConnections(t *testing.T) {
	key := stores.NewKey([24]byte{1})
	rec := stores.Record{Data: []byte("data"), Expires: time.Now().Add(time.Hour)}
	e := stores.Entry{Key: key, Data: []byte("entry"), Expires: rec.Expires}
	for _, cause := range []error{sql.ErrConnDone, sql.ErrTxDone, driver.ErrBadConn, driver.ErrSkip} {
		for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.SQLite, sqlstore.MySQL} {
			db := sql.OpenDB(broken{cause})
			defer db.Close()
			store, err := sqlstore.New(db, d)
			require.NoError(t, err)
			list, err := sqlstore.NewRevocations(db, d)
			require.NoError(t, err)
			at := rec
			at.Revision = "revision"
			for what, call := range map[string]func(context.Context) error{
				"Load":     func(ctx context.Context) error { _, err := store.Load(ctx, key, stores.Fresh); return err },
				"create":   func(ctx context.Context) error { _, err := store.Save(ctx, key, rec); return err },
				"Save":     func(ctx context.Context) error { _, err := store.Save(ctx, key, at); return err },
				"Put":      func(ctx context.Context) error { return store.Put(ctx, key, rec) },
				"Touch":    func(ctx context.Context) error { _, err := store.Touch(ctx, key, "revision", rec.Expires); return err },
				"LoadMany": func(ctx context.Context) error { _, err := store.LoadMany(ctx, []stores.Key{key}); return err },
				"SaveMany": func(ctx context.Context) error {
					_, err := store.SaveMany(ctx, []stores.Key{key}, []stores.Record{at})
					return err
				},
				"AddEntry":      func(ctx context.Context) error { _, err := store.AddEntry(ctx, key, e); return err },
				"Entries":       func(ctx context.Context) error { _, err := store.Entries(ctx, key); return err },
				"RemoveEntries": func(ctx context.Context) error { return store.RemoveEntries(ctx, key, key) },
				"Count":         func(ctx context.Context) error { _, err := store.Count(ctx); return err },
				"Sweep":         func(ctx context.Context) error { _, err := store.Sweep(ctx, 10); return err },
				"Migrate":       store.Migrate,
				"Get":           func(ctx context.Context) error { _, err := list.Get(ctx, key); return err },
				"Since":         func(ctx context.Context) error { _, err := list.Since(ctx, ""); return err },
				"Swap": func(ctx context.Context) error {
					_, err := list.Swap(ctx, "", stores.Revocation{Key: key, Value: "ended", Until: rec.Expires})
					return err
				},
			} {
				err := call(t.Context())
				require.ErrorIs(t, err, stores.ErrUnavailable, what)
				require.ErrorIs(t, err, cause, what)
				for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrTooLarge, stores.ErrFull} {
					require.NotErrorIs(t, err, wrong, what)
				}
			}
		}
	}
}
