package watch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/watch"
	"github.com/bulla-go/bulla/stores"
)

// A look that was under way while the session was used here does not take back what the
// use has given it: when the server fails after that, its time is not over.
func TestUseDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, begun := stores.NewKey([24]byte{1}), time.Now()
		at := func(d time.Duration) time.Time { return begun.Add(d) }
		var looks atomic.Int32
		w := watch.New(watch.Config{
			Every: 5 * time.Second, Patience: time.Hour,
			Failed: func(context.Context, error) {},
			Load: func(context.Context, []stores.Key) ([]stores.Record, error) {
				if looks.Add(1) > 1 {
					return nil, stores.ErrUnavailable
				}
				rec := stores.Record{Revision: "1", Expires: at(8 * time.Second)}
				time.Sleep(2 * time.Second) // on the way
				return []stores.Record{rec}, nil
			},
		})
		session := watch.Session{Key: key, Idle: true, Expires: at(8 * time.Second), Deadline: at(time.Hour)}
		ctx := w.Watch(t.Context(), session)
		time.Sleep(6 * time.Second)
		session.Expires = at(14 * time.Second)
		w.Used(session)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		require.Greater(t, looks.Load(), int32(1))
		require.NoError(t, ctx.Err(), "%v", context.Cause(ctx))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, context.Cause(ctx), watch.ErrIdle)
	})
}
