package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// login makes a session user's, and says itself what went wrong.
func login(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err == nil {
		err = s.SetOwner(r.Context(), "ada")
	}
	if err == nil {
		err = user.Set(s, "ada")
	}
	if err == nil {
		err = sessions.Commit(r.Context())
	}
	switch {
	case errors.Is(err, sessions.ErrTooManySessions):
		http.Error(w, "log out elsewhere first", http.StatusConflict)
	case err != nil:
		http.Error(w, "the login failed", http.StatusInternalServerError)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// who answers with the user's name.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	name, err := user.GetOr(session(r), "nobody")
	check(err)
	io.WriteString(w, name)
})

// The page that a handler writes after a failed Commit is what the user sees, and
// what failed is not committed with it.
func TestHandlersOwnPageAfterAFailedCommit(t *testing.T) {
	t.Run("too large", func(t *testing.T) {
		var ev events
		mw := sealed(t).new(t, ev.option())
		cookie := visited(t, mw.Handler(count))
		for i, sent := range [][]string{nil, {cookie}} {
			ev.take()
			a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := session(r)
				check(s.Regenerate())
				check(user.Set(s, "ada"))
				check(text.Set(s, strings.Repeat("x", 5000)))
				require.ErrorIs(t, sessions.Commit(r.Context()), stores.ErrTooLarge)
				http.Error(w, "that is too much", http.StatusRequestEntityTooLarge)
			})), "/", sent...)
			require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
			require.Equal(t, "that is too much\n", a.body)
			require.Empty(t, a.ours())
			require.Contains(t, ev.take(), "refused")
			require.Equal(t, fmt.Sprint(i), ask(mw.Handler(peek), "/", sent...).body)
		}
	})
	t.Run("too many sessions", func(t *testing.T) {
		mem := memory(t)
		mw := mem.new(t, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew))
		site := serve(t, routes(mw))
		require.Equal(t, http.StatusSeeOther, site.get("/login").StatusCode)
		site.client = site.newClient()
		require.Equal(t, "1", site.get("/count").body)
		a := site.get("/login")
		require.Equal(t, http.StatusConflict, a.StatusCode)
		require.Equal(t, "log out elsewhere first\n", a.body)
		require.Empty(t, a.ours())
		require.Equal(t, "nobody", site.get("/who").body)
		require.Equal(t, "2", site.get("/count").body, "the session as it was")
	})
}

func routes(mw *middleware.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/login", login)
	mux.Handle("/who", who)
	mux.Handle("/count", count)
	return mw.Handler(mux)
}

// A login whose Commit fails because the store does not answer is not made up for
// when the store is back, with the handler's page that says that it failed. One that
// merely loses a reply succeeds.
func TestHalfDoneLogin(t *testing.T) {
	for _, carriedOut := range []bool{true, false} {
		for _, forGood := range []bool{true, false} {
			mem := memory(t)
			store := &savesDown{Store: mem.mem, carriedOut: carriedOut}
			mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithOwners(encrypt.GenerateKey()), middleware.WithCommitTimeout(time.Second))
			site := serve(t, routes(mw))
			require.Equal(t, "1", site.get("/count").body)
			held := site.held()
			if store.down.Store(1); forGood {
				store.down.Store(1 << 30)
			}
			a := site.get("/login")
			if !forGood || carriedOut { // the login itself is seen
				require.Equal(t, http.StatusSeeOther, a.StatusCode)
				require.Equal(t, "ada", site.get("/who").body)
				continue
			}
			store.down.Store(0)
			require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			require.Empty(t, a.ours())
			require.Equal(t, held, site.held())
			require.Equal(t, "nobody", site.get("/who").body)
			list, err := mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Empty(t, list)
		}
	}
}

// savesDown is a memstore whose next Saves, as many as down says, fail.
type savesDown struct {
	*memstore.Store
	carriedOut bool
	down       atomic.Int64
}

func (s *savesDown) Place() stores.Place { return stores.Place{Name: "memory", Server: s} }

func (s *savesDown) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	if s.down.Add(-1) < 0 {
		s.down.Store(0)
		return s.Store.Save(ctx, key, rec)
	}
	if s.carriedOut {
		s.Store.Save(ctx, key, rec)
	}
	return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, errDown)
}

// Without an error handler of the application's own the status tells whose affair
// it is.
func TestStatusOfAFailedCommit(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{stores.ErrUnavailable, 503},
		{errors.New("forgot rule 3"), 503},
		{context.DeadlineExceeded, 503},
		{sessions.ErrBusy, 503},
		{stores.ErrTooLarge, 413},
		{stores.ErrInvalidRecord, 500},
	} {
		mw := setup{store: saveFails{memory(t).store, tt.err}}.new(t, middleware.WithoutEncryption(), middleware.WithCommitTimeout(300*time.Millisecond))
		a := ask(mw.Handler(count), "/")
		require.Equal(t, tt.status, a.StatusCode, tt.err)
		require.Equal(t, http.StatusText(tt.status)+"\n", a.body, "the cause is not the client's affair")
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Empty(t, a.ours())
	}

	// And from the real limit, at the first byte.
	mw := memory(t).new(t, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew))
	lazy := mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		check(session(r).SetOwner(r.Context(), "ada"))
		check(user.Set(session(r), "ada"))
	}))
	require.Equal(t, http.StatusOK, ask(lazy, "/").StatusCode)
	require.Equal(t, http.StatusForbidden, ask(lazy, "/").StatusCode)
}

// saveFails is a store that saves nothing.
type saveFails struct {
	stores.Store
	err error
}

func (s saveFails) Place() stores.Place { return between(s.Store, s) }

func (s saveFails) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	return s.Store.Place().Server.Load(ctx, key, f)
}

func (s saveFails) Save(context.Context, stores.Key, stores.Record) (stores.Revision, error) {
	return "", s.err
}

func (s saveFails) Put(context.Context, stores.Key, stores.Record) error { return s.err }

// An inner middleware that unwraps the writer has the session committed. A login
// after that is told so, and is no 303 without a cookie.
func TestLoginAfterUnwrap(t *testing.T) {
	for _, s := range setups(t) {
		var ev events
		mw := s.new(t, ev.option())
		unwraps := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
				next.ServeHTTP(w, r)
			})
		}
		for name, login := range map[string]func(*sessions.Session) error{
			"Set":              func(s *sessions.Session) error { return user.Set(s, "ada") },
			"Flash":            func(s *sessions.Session) error { return sessions.Flash[string]("notices").Add(s, "welcome") },
			"SetLabel":         func(s *sessions.Session) error { return s.SetLabel("phone") },
			"SetAuthenticated": func(s *sessions.Session) error { return s.SetAuthenticated(time.Now()) },
		} {
			ev.take()
			a := ask(mw.Handler(unwraps(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := login(session(r)); err != nil {
					require.ErrorIs(t, err, sessions.ErrTooLate, name)
					http.Error(w, "the login failed", http.StatusInternalServerError)
					return
				}
				http.Redirect(w, r, "/", http.StatusSeeOther)
			}))), "/")
			require.Equal(t, http.StatusInternalServerError, a.StatusCode, name)
			require.Empty(t, a.ours())
			require.Contains(t, ev.take(), "late", "the operator hears of it, too")
		}
	}
}
