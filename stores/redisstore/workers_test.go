package redisstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func size(w *workers) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// inBubble runs f with workers that all must have ended soon after. synctest fails
// a test that leaves a goroutine behind.
func inBubble(t *testing.T, f func(*testing.T, *workers)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		f(t, w)
		time.Sleep(2 * linger)
		require.Zero(t, size(w))
	})
}

func TestWorkersEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *workers) {
		release := make(chan struct{})
		for range 20 {
			go apart(t.Context(), w, func(context.Context) (int, error) {
				<-release
				return 0, nil
			})
		}
		synctest.Wait()
		require.Equal(t, 20, size(w))

		// None is sent away from its work, however long it takes.
		time.Sleep(10 * linger)
		require.Equal(t, 20, size(w))
		close(release)
		time.Sleep(2 * linger)
		require.Zero(t, size(w))

		// And they come again.
		got, err := apart(t.Context(), w, func(context.Context) (int, error) { return 7, nil })
		require.NoError(t, err)
		require.Equal(t, 7, got)
		require.Equal(t, 1, size(w))
	})
}

func TestWorkersAreUsedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *workers) {
		for range 100 {
			_, err := apart(t.Context(), w, func(context.Context) (int, error) { return 0, nil })
			require.NoError(t, err)
			synctest.Wait() // it has come back for more
		}
		require.Equal(t, 1, size(w))
	})
}

func TestApart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *workers) {
		broken := errors.New("broken")
		_, err := apart(t.Context(), w, func(context.Context) (int, error) { return 0, broken })
		require.ErrorIs(t, err, broken)

		// A panic is the caller's, and the worker goes on.
		synctest.Wait()
		require.PanicsWithValue(t, "a broken hook", func() {
			apart(t.Context(), w, func(context.Context) (int, error) { panic("a broken hook") })
		})
		synctest.Wait()
		require.Equal(t, 1, size(w))

		// What does not heed its context is left behind.
		stuck := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err = apart(ctx, w, func(context.Context) (int, error) {
			<-stuck
			return 0, nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		_, err = apart(t.Context(), w, func(context.Context) (int, error) { return 0, nil })
		require.NoError(t, err)
		close(stuck)
	})
}
