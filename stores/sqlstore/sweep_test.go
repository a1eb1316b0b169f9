package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// A sweep that fails is told of and tried again, once in each interval, and the
// goroutine is gone when its context has ended: the bubble would wait for it.
func TestSweepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(nowhere{})
		defer db.Close()
		ctx, cancel := context.WithCancel(t.Context())
		failed := 0
		_, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithSweep(ctx, time.Minute, func(err error) {
			require.ErrorIs(t, err, stores.ErrUnavailable)
			failed++
		}))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.InDelta(t, 60, failed, 1)
		cancel()
		synctest.Wait()
		after := failed
		time.Sleep(time.Hour)
		require.Equal(t, after, failed)
	})
}
