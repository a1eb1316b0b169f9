//go:build unix

package integration_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A store in memory that is full has no room for new visitors, and lets those
// log in who have a session, all at once, again and again.
func TestLoginOnAFullStore(t *testing.T) {
	const limit = 12
	store, err := memstore.New(memstore.WithMaxSessions(limit))
	require.NoError(t, err)
	mw := middlewareOf(t, store)
	var visitors [limit]*browser
	for i := range visitors {
		visitors[i] = visited(t, mw)
	}
	login := func(s *sessions.Session) error {
		if err := s.Regenerate(); err != nil {
			return err
		}
		return user.Set(s, "someone")
	}
	for range 20 {
		var all sync.WaitGroup
		for _, b := range visitors {
			all.Go(func() { b.send(mw, login) })
		}
		all.Wait()
		for _, b := range visitors {
			require.Equal(t, "someone", b.user(t, mw))
			require.Equal(t, 1, b.visits(t, mw))
			b.must(t, mw, setUser("nobody"))
		}
		require.Equal(t, limit, store.Len())
		a := new(browser).send(mw, count)
		require.Equal(t, http.StatusServiceUnavailable, a.status, "a new visitor")
		require.Empty(t, a.lines)
	}
}

// A session that is too large for the store is refused, and stays as it was.
func TestTooLargeForMemory(t *testing.T) {
	store, err := memstore.New(memstore.WithMaxRecord(2000))
	require.NoError(t, err)
	mw := middlewareOf(t, store, middleware.WithEncryptor(ring(t)))
	b := visited(t, mw)
	a := b.clone().send(mw, large)
	require.NotEqual(t, http.StatusOK, a.status)
	require.Empty(t, a.lines)
	require.Equal(t, 1, b.visits(t, mw))
}
