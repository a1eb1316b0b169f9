//go:build unix

package integration_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// A job that has outlived its request, and requests of the user, count in one session on
// each server; then the user logs out, and the job finds out.
func TestResume(t *testing.T) {
	const each = 10
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			mw := middlewareOf(t, b.make(t).store, middleware.WithEncryptor(ring(t)))
			user := new(browser)
			var id sessions.ID
			user.must(t, mw, func(s *sessions.Session) error {
				id = s.ID()
				return count(s)
			})
			job := func(_ context.Context, s *sessions.Session) error { return count(s) }

			var all sync.WaitGroup
			all.Go(func() {
				for range each {
					require.NoError(t, mw.Manager().Resume(t.Context(), id, job))
				}
			})
			all.Go(func() {
				for range each {
					user.must(t, mw, count)
				}
			})
			all.Wait()
			require.Equal(t, 1+2*each, user.visits(t, mw))

			err := mw.Manager().Resume(t.Context(), id, func(_ context.Context, s *sessions.Session) error {
				user.must(t, mw, logout)
				return count(s)
			})
			require.ErrorIs(t, err, sessions.ErrEnded)
			require.ErrorIs(t, mw.Manager().Resume(t.Context(), id, job), sessions.ErrEnded)
			require.Zero(t, user.visits(t, mw))
		})
	}
}
