package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// answering is a driver that answers each query by one row.
type answering struct {
	broken
	row   []driver.Value
	gone  int // so many queries are answered by that the connection is gone
	asked int
}

func (a *answering) Connect(context.Context) (driver.Conn, error) { return a, nil }

func (a *answering) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if a.asked++; a.asked <= a.gone {
		return nil, driver.ErrBadConn
	}
	return &oneRow{row: a.row}, nil
}

// oneRow has one buffer for all bytes, which it uses again.
type oneRow struct {
	row    []driver.Value
	buffer []byte
	done   bool
}

func (r *oneRow) Columns() []string { return make([]string, len(r.row)) }

func (r *oneRow) Close() error {
	clear(r.buffer)
	return nil
}

func (r *oneRow) Next(dest []driver.Value) error {
	if r.done {
		return io.EOF
	}
	r.done = true
	r.buffer = make([]byte, 0, 100)
	for i, value := range r.row {
		if data, ok := value.([]byte); ok {
			at := len(r.buffer)
			r.buffer = append(r.buffer, data...)
			value = r.buffer[at:len(r.buffer):len(r.buffer)]
		}
		dest[i] = value
	}
	return nil
}

// A load takes nothing of the driver's for its own, understands types that other drivers
// have, and finds another connection where one is gone.
func TestLoadAsksTheDriver(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for name, a := range map[string]*answering{
		"usual":                {row: []driver.Value{false, []byte("revision"), expires.UnixMilli(), []byte("data")}},
		"other types":          {row: []driver.Value{"f", "revision", strconv.FormatInt(expires.UnixMilli(), 10), "data"}},
		"a connection is gone": {row: []driver.Value{false, []byte("revision"), expires.UnixMilli(), []byte("data")}, gone: 2},
	} {
		t.Run(name, func(t *testing.T) {
			db := sql.OpenDB(a)
			defer db.Close()
			store, err := sqlstore.New(db, sqlstore.PostgreSQL)
			require.NoError(t, err)
			rec, err := store.Load(t.Context(), stores.NewKey([24]byte{1}), stores.Fresh)
			require.NoError(t, err)
			require.Equal(t, "data", string(rec.Data))
			require.Equal(t, stores.Revision("revision"), rec.Revision)
			require.True(t, expires.Equal(rec.Expires))
		})
	}
	t.Run("a standby", func(t *testing.T) {
		db := sql.OpenDB(&answering{row: []driver.Value{true, []byte("revision"), expires.UnixMilli(), []byte("data")}})
		defer db.Close()
		store, err := sqlstore.New(db, sqlstore.PostgreSQL)
		require.NoError(t, err)
		_, err = store.Load(t.Context(), stores.NewKey([24]byte{1}), stores.Fresh)
		require.ErrorIs(t, err, stores.ErrUnavailable)
	})
}
