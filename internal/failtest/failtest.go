// Package failtest tests, with any store and over real connections, what a handler that
// fails halfway leaves behind: nothing.
package failtest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const (
	visits = sessions.Key[int]("visits")
	user   = sessions.Key[string]("user")
	note   = sessions.Key[string]("note")
	never  = sessions.Key[func()]("never") // no serializer takes it
)

// Run tests a store, which the options must suit. A store that can list the sessions of
// a user is tested with that, too, and must be empty then.
func Run(t *testing.T, store stores.Store, opts ...middleware.Option) {
	opts = append(opts, middleware.WithLogger(slog.New(slog.DiscardHandler)))
	place := store.Place()
	_, lists := place.Server.(stores.OwnerIndex)
	if lists = lists && place.Cookie == nil; lists {
		opts = append(opts, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew))
	}
	mw, err := middleware.New(store, opts...)
	require.NoError(t, err)
	app := serve(t, mw)

	t.Run("half a login", func(t *testing.T) { app.halfLogin(t, lists) })
	if lists {
		t.Run("one session too many", app.tooMany)
	}
	if place.Server == nil {
		t.Run("too large", app.tooLarge)
	}
}

// app is an application on a real server.
type app struct {
	*httptest.Server
	m *sessions.Manager
}

func serve(t *testing.T, mw *middleware.Middleware) *app {
	a := &app{m: mw.Manager()}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *sessions.Session) error) {
		mux.Handle(pattern, mw.HandlerFunc(f))
	}
	handle("GET /", func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error { return page(w, s, "") })
	handle("POST /visit", func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		if _, err := visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			return err
		}
		return page(w, s, "")
	})
	// The first Set succeeds, the second does not.
	handle("POST /half-login", func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		if err := errors.Join(s.Regenerate(), user.Set(s, "ada")); err != nil {
			return err
		}
		return never.Set(s, func() {})
	})
	handle("POST /half-login-of-an-owner", func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := errors.Join(s.SetOwner(r.Context(), "ada"), user.Set(s, "ada")); err != nil {
			return err
		}
		return never.Set(s, func() {})
	})
	// A page of the handler's own for what the user can do something about.
	handle("POST /login", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := errors.Join(s.SetOwner(r.Context(), "ada"), user.Set(s, "ada")); err != nil {
			return err
		}
		if err := sessions.Commit(r.Context()); errors.Is(err, sessions.ErrTooManySessions) {
			w.WriteHeader(http.StatusConflict)
			return page(w, s, "logged in elsewhere; ")
		} else if err != nil {
			return err
		}
		return page(w, s, "")
	})
	handle("POST /note", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := note.Set(s, strings.Repeat("x", 5000)); err != nil {
			return err
		}
		if err := sessions.Commit(r.Context()); errors.Is(err, stores.ErrTooLarge) {
			w.WriteHeader(http.StatusConflict)
			return page(w, s, "too long; ")
		} else if err != nil {
			return err
		}
		return page(w, s, "")
	})
	a.Server = httptest.NewTLSServer(mw.Handler(mux))
	t.Cleanup(a.Close)
	return a
}

// page shows the session as the handler finds it.
func page(w http.ResponseWriter, s *sessions.Session, text string) error {
	n, err := visits.GetOr(s, 0)
	who, err2 := user.GetOr(s, "nobody")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	_, err = fmt.Fprint(w, text, n, " visits, ", who, ", ", s.Names())
	return err
}

// browser has a jar.
type browser struct {
	*http.Client
	app *app
}

func (a *app) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{&http.Client{Transport: a.Client().Transport, Jar: jar, Timeout: time.Minute}, a}
}

// do answers with the status, the page, and whether a cookie came.
func (b *browser) do(t *testing.T, method, path string) (status int, body string, cookie bool) {
	t.Helper()
	req, err := http.NewRequest(method, b.app.URL+path, nil)
	require.NoError(t, err)
	resp, err := b.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data), len(resp.Cookies()) > 0
}

// finds checks what the next page shows.
func (b *browser) finds(t *testing.T, want string) {
	t.Helper()
	status, body, _ := b.do(t, "GET", "/")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, want, body)
}

// fails posts what must fail and leave no cookie.
func (b *browser) fails(t *testing.T, path string, status int, page string) {
	t.Helper()
	got, body, cookie := b.do(t, "POST", path)
	require.Equal(t, status, got, body)
	require.Equal(t, page, strings.TrimSpace(body))
	require.False(t, cookie, "a cookie came with the failure")
}

func (a *app) visitor(t *testing.T) *browser {
	b := a.browser(t)
	for range 3 {
		status, body, _ := b.do(t, "POST", "/visit")
		require.Equal(t, http.StatusOK, status, body)
	}
	b.finds(t, "3 visits, nobody, [visits]")
	return b
}

func (a *app) halfLogin(t *testing.T, lists bool) {
	paths := []string{"/half-login"}
	if lists {
		paths = append(paths, "/half-login-of-an-owner")
	}
	for _, path := range paths {
		stranger, visitor := a.browser(t), a.visitor(t)
		for range 2 {
			stranger.fails(t, path, http.StatusInternalServerError, "Internal Server Error")
			visitor.fails(t, path, http.StatusInternalServerError, "Internal Server Error")
		}
		stranger.finds(t, "0 visits, nobody, []")
		visitor.finds(t, "3 visits, nobody, [visits]")
	}
	if lists {
		list, err := a.m.Sessions(t.Context(), "ada")
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

func (a *app) tooMany(t *testing.T) {
	first := a.visitor(t)
	status, body, cookie := first.do(t, "POST", "/login")
	require.Equal(t, http.StatusOK, status, body)
	require.True(t, cookie)

	stranger, visitor := a.browser(t), a.visitor(t)
	for range 2 {
		stranger.fails(t, "/login", http.StatusConflict, "logged in elsewhere; 0 visits, nobody, []")
		visitor.fails(t, "/login", http.StatusConflict, "logged in elsewhere; 3 visits, nobody, [visits]")
	}
	stranger.finds(t, "0 visits, nobody, []")
	visitor.finds(t, "3 visits, nobody, [visits]")
	first.finds(t, "3 visits, ada, [user visits]")
	list, err := a.m.Sessions(t.Context(), "ada")
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func (a *app) tooLarge(t *testing.T) {
	stranger, visitor := a.browser(t), a.visitor(t)
	for range 2 {
		stranger.fails(t, "/note", http.StatusConflict, "too long; 0 visits, nobody, []")
		visitor.fails(t, "/note", http.StatusConflict, "too long; 3 visits, nobody, [visits]")
	}
	visitor.finds(t, "3 visits, nobody, [visits]")
}
