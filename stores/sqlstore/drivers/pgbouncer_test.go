//go:build unix

package drivers_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/storetest"
)

// bounced returns a database behind a pgbouncer in transaction mode: each statement may
// go out by another of four connections, after a statement of anybody's.
func bounced(t testing.TB) database {
	d := ownPostgreSQL(t)
	return d.at(d.server.PgBouncer(t).Addr)
}

// In the mode that the documentation recommends the contract holds, and nothing is lost
// by processes at once.
func TestPgBouncer(t *testing.T) {
	d := bounced(t)
	d.dsn += "&default_query_exec_mode=exec"
	all, visits := d.processes(t, 2, times(10), func() {})
	require.Zero(t, all.Unknown)
	require.Zero(t, all.Unread)
	require.EqualValues(t, all.Counted, visits)
	store := d.store(t)
	storetest.Run(t, storetest.Config{New: func(*testing.T) stores.Server { return store }})
}

// Where it is forgotten, prepared statements are missing or there already, but for
// versions that know of them: each call has its own answer or is an outage.
func TestPgBouncerWithPreparedStatements(t *testing.T) {
	d := bounced(t)
	store := d.store(t)
	outage := func(err error) bool {
		return errors.Is(err, stores.ErrUnavailable) && !errors.Is(err, stores.ErrNotFound) && !errors.Is(err, stores.ErrConflict)
	}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 10 {
				key, data := newKey(), rand.Text()
				rev, err := store.Save(t.Context(), key, record(data, ""))
				if err != nil {
					if !outage(err) {
						t.Errorf("Save: %v", err)
					}
					continue
				}
				rec, err := store.Load(t.Context(), key, stores.Fresh)
				if own := err == nil && string(rec.Data) == data && rec.Revision == rev; !own && !outage(err) {
					t.Errorf("Load: %v, %v", rec, err)
				}
			}
		})
	}
	clients.Wait()
}
