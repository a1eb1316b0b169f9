package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Case 30: while the old store is down the answer is 503, and neither cookie is touched.
func TestCase30OldStoreDown(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		b := s.browser("old", "a1")
		s.old.down = true
		resp, body := b.get("/")
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Empty(t, resp.Header["Set-Cookie"])
		require.NotContains(t, body, "alice")
		require.Equal(t, "a1", b.has("old"))

		// Who has moved already does not notice, but a logout that can't retire what it
		// is given is none.
		moved := s.browser()
		moved.post("/login", url.Values{"user": {"bob"}})
		moved.is("bob")
		moved.set("old", "a1")
		resp, err := moved.PostForm(base+"/logout", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Empty(t, resp.Header["Set-Cookie"])
		require.Equal(t, "a1", moved.has("old"))
		s.old.down = false
		moved.is("bob")
		require.Empty(t, moved.has("old"))
		b.is("alice")

		// Down between reading and retiring: the new session is there, the old cookie is
		// tried again.
		s.old.login("c1", "carol")
		s.old.stuck = true
		b = s.browser("old", "c1")
		resp, _ = b.get("/")
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Equal(t, "c1", b.has("old"))
		s.old.stuck = false
		b.is("carol")
		require.Empty(t, b.has("old"))
	})
}

// What the application does after the adoption undoes neither half of it alone.
func TestTheHandlerFails(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		for _, path := range []string{"/fails", "/panics"} {
			s.old.login("a1", "alice")
			b := s.browser("old", "a1")
			resp, _ := b.get(path)
			require.Equal(t, http.StatusInternalServerError, resp.StatusCode, path)
			b.is("alice")
			require.Empty(t, b.has("old"))
		}
	})
}

// Neither does a store of ours that fails.
func TestOurStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &failing{Server: newMemory(t).Place().Server}
		s := newSite(t, st)
		s.old.login("a1", "alice")
		b := s.browser("old", "a1")
		st.fails = true
		resp, _ := b.get("/")
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Empty(t, resp.Header["Set-Cookie"])
		require.Zero(t, s.old.retires)
		time.Sleep(time.Hour)
		st.fails = false
		b.is("alice")
	})
}

// failing is a store whose writes fail.
type failing struct {
	stores.Server
	fails bool
}

func (f *failing) Place() stores.Place {
	return stores.Place{Name: "failing", Server: f, InProcess: true}
}

func (f *failing) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	if f.fails {
		return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, stores.ErrFull)
	}
	return f.Server.Save(ctx, key, rec)
}

// An old store that never answers is one that is down, after five seconds.
func TestAStuckOldStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newMemory(t))
		s.old.login("a1", "alice")
		stuck := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		reading, retiring := s.old.source(), s.old.source()
		reading.Read = stuck
		retiring.Retire = func(ctx context.Context, value string) error { _, err := stuck(ctx, value); return err }
		for _, src := range []migrate.Source[string]{reading, retiring} {
			s.with(src)
			b := s.browser("old", "a1")
			began := time.Now()
			resp, _ := b.get("/")
			require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
			require.Equal(t, 5*time.Second, time.Since(began))
			require.Equal(t, "a1", b.has("old"))
		}
	})
}

// A client that goes away does not keep the old session from being retired: the new one
// is written.
func TestTheClientGoesAway(t *testing.T) {
	s := newSite(t, newMemory(t))
	ctx, cancel := context.WithCancel(t.Context())
	src := s.old.source()
	src.Adopt = func(ctx context.Context, session *sessions.Session, name string) error {
		cancel()
		return user.Set(session, name)
	}
	src.Retire = func(ctx context.Context, value string) error {
		return errors.Join(ctx.Err(), s.old.retire(ctx, value))
	}
	s.with(src)
	s.old.login("a1", "alice")
	r := httptest.NewRequestWithContext(ctx, "GET", base+"/", nil)
	r.Header.Set("Cookie", "old=a1")
	resp, err := s.RoundTrip(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 1, s.old.retires)
}
