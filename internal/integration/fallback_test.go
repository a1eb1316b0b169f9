//go:build unix

package integration_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// A copy may serve reads for longer while the store is down. Nothing else may
// rest on it, and it may not while the store answers.
func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		mw := cached(t, store, middleware.WithCookieCacheFallback(time.Hour))
		b, gone := visited(t, mw), visited(t, mw)
		gone.clone().must(t, mw, logout)
		none := visited(t, cached(t, store))
		begun := time.Now()

		time.Sleep(fresh)
		require.Zero(t, gone.clone().visits(t, mw), "the store answers")
		store.down.Store(true)
		const tries = time.Minute // for as long as a commit's time, a change waits for the store
		for _, at := range []time.Duration{fresh, 2 * time.Minute, time.Hour - tries} {
			time.Sleep(time.Until(begun.Add(at)))
			require.Equal(t, 1, b.visits(t, mw))
			require.Empty(t, b.must(t, mw, look).lines)
			for name, do := range map[string]handle{"change": count, "new ID": (*sessions.Session).Regenerate, "logout": logout} {
				a := b.clone().send(mw, do)
				require.Equal(t, http.StatusServiceUnavailable, a.status, name)
				require.Empty(t, a.lines, name)
			}
			a := b.clone().serve(mw, func(r *http.Request) error { return sessions.Commit(r.Context()) })
			require.ErrorIs(t, a.err, stores.ErrUnavailable)
			require.Equal(t, http.StatusServiceUnavailable, b.id().send(mw, look).status, "without a copy")
			require.Equal(t, http.StatusServiceUnavailable, none.clone().send(mw, look).status, "a copy under another key")
		}
		time.Sleep(time.Until(begun.Add(time.Hour - time.Millisecond)))
		require.Equal(t, 1, b.visits(t, mw))
		time.Sleep(time.Millisecond)
		a := b.send(mw, look)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Empty(t, a.lines)
		store.down.Store(false)
		require.Equal(t, 1, b.visits(t, mw))
	})
}

// While the store is down, one read a second waits for its failure; the others
// have the copy at once. When the store is back they see it within a second.
func TestFallbackDoesNotWait(t *testing.T) {
	const failure = 1800 * time.Millisecond // Redis that refuses connections
	for name, opts := range map[string][]middleware.Option{
		"fixed":   {middleware.WithLifetime(2 * time.Hour)},
		"rolling": {middleware.WithRolling(2 * time.Hour), middleware.WithTouchInterval(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := watch(t)
				mw := cached(t, store, append(opts, middleware.WithCookieCacheFallback(time.Hour))...)
				b := visited(t, mw)
				changed := b.clone()
				time.Sleep(fresh)
				store.down.Store(true)
				store.late.Store(int64(failure))

				// The first to come do not know it yet.
				require.Equal(t, 1, b.visits(t, mw))
				before := store.calls.Load()
				const reads = 600
				slow := 0
				for range reads {
					began := time.Now()
					require.Equal(t, 1, b.clone().visits(t, mw))
					if took := time.Since(began); took > 0 {
						require.Equal(t, failure, took)
						slow++
					}
					time.Sleep(100 * time.Millisecond)
				}
				require.Less(t, slow, reads/9, "one in a second, of ten")
				require.EqualValues(t, slow, store.calls.Load()-before)

				// However many come at once, one is to find out.
				time.Sleep(time.Minute)
				before = store.calls.Load()
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() { require.Equal(t, 1, b.clone().visits(t, mw)) })
				}
				all.Wait()
				require.EqualValues(t, 1, store.calls.Load()-before)

				a := b.clone().serve(mw, func(r *http.Request) error { return sessions.Commit(r.Context()) })
				require.ErrorIs(t, a.err, stores.ErrUnavailable, "who must be sure asks")

				store.down.Store(false)
				store.late.Store(0)
				changed.must(t, mw, count)
				time.Sleep(time.Second)
				require.Equal(t, 2, b.visits(t, mw))
				require.Equal(t, 2, b.visits(t, mw))
			})
		})
	}
}

// The touch of a rolling session, which is best effort, is no answer to a
// Commit that asks whether the session is still alive.
func TestCommitOfACopyAsksWhateverIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		mw := cached(t, store, middleware.WithRolling(time.Hour), middleware.WithTouchInterval(time.Second))
		b := visited(t, mw)
		time.Sleep(2 * time.Second) // the copy is fresh, and a touch is due
		store.down.Store(true)
		a := b.serve(mw, func(r *http.Request) error { return sessions.Commit(r.Context()) })
		require.ErrorIs(t, a.err, stores.ErrUnavailable)
	})
}
