package redisstore

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A turn ends with the call, or with its context where the client does not come
// back, and once only.
func TestTurnsEnd(t *testing.T) {
	for name, end := range map[string]func(done, cancel func()){
		"done":               func(done, _ func()) { done() },
		"context":            func(_, cancel func()) { cancel() },
		"context, then done": func(done, cancel func()) { cancel(); synctest.Wait(); done() },
		"done, then context": func(done, cancel func()) { done(); cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all turns
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done, err := all.await(ctx, "key")
				require.NoError(t, err)

				second, third := make(chan func()), make(chan func())
				for _, got := range []chan func(){second, third} {
					go func() {
						done, err := all.await(t.Context(), "key")
						require.NoError(t, err)
						got <- done
					}()
				}
				synctest.Wait()
				require.Equal(t, 3, all.keys["key"].users)

				end(done, cancel)
				var next func()
				select {
				case next = <-second:
				case next = <-third:
				}
				synctest.Wait()
				select {
				case <-second:
					t.Fatal("two have the turn")
				case <-third:
					t.Fatal("two have the turn")
				default:
				}
				next()
				select {
				case next = <-second:
				case next = <-third:
				}
				next()
				synctest.Wait()
				require.Empty(t, all.keys)
			})
		})
	}
}

// Who does not get the turn in time leaves the queue.
func TestTurnsGivenUp(t *testing.T) {
	var all turns
	done, err := all.await(t.Context(), "key")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = all.await(ctx, "key")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, all.keys["key"].users)
	done()
	require.Empty(t, all.keys)
}
