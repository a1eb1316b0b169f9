package sessions

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type limitKey struct{}

func TestTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, gone := context.WithCancel(context.WithValue(t.Context(), limitKey{}, "value"))
		asked, unasked := newTimeLimit(request, time.Second), newTimeLimit(request, time.Second)
		defer asked.stop()
		defer unasked.stop()
		done := asked.Done()
		gone() // a commit goes on without the client
		time.Sleep(time.Second - 1)
		for _, l := range []*timeLimit{asked, unasked} {
			require.NoError(t, l.Err())
			require.NoError(t, context.Cause(l))
			require.Equal(t, "value", l.Value(limitKey{}))
			ends, ok := l.Deadline()
			require.True(t, ok)
			require.Equal(t, time.Duration(1), time.Until(ends))
		}
		select {
		case <-done:
			t.Fatal("too early")
		default:
		}
		time.Sleep(1)
		<-done
		for _, l := range []*timeLimit{asked, unasked} {
			require.ErrorIs(t, l.Err(), context.DeadlineExceeded)
			<-l.Done()
			require.ErrorIs(t, l.Err(), context.DeadlineExceeded)
			require.ErrorIs(t, context.Cause(l), context.DeadlineExceeded)
		}
	})
}

// What is derived from it ends with it, and is no goroutine of its own.
func TestTimeLimitOfAnother(t *testing.T) {
	request, gone := context.WithCancel(t.Context())
	defer gone()
	l := newTimeLimit(request, time.Minute)
	before := runtime.NumGoroutine()
	derived, cancel := context.WithCancel(l)
	defer cancel()
	longer, cancel := context.WithTimeout(l, time.Hour)
	defer cancel()
	require.Equal(t, before, runtime.NumGoroutine())
	ends, _ := longer.Deadline()
	require.Equal(t, l.ends, ends)
	l.stop()
	require.ErrorIs(t, derived.Err(), context.Canceled)
	require.ErrorIs(t, longer.Err(), context.Canceled)
}

func TestTimeLimitStops(t *testing.T) {
	l := newTimeLimit(t.Context(), time.Minute)
	l.stop()
	require.ErrorIs(t, l.Err(), context.Canceled)
	<-l.Done()
	require.ErrorIs(t, l.Err(), context.Canceled)
	l.stop()
}
