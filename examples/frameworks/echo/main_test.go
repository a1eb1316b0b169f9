package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/frameworks/internal/drive"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestEcho(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	drive.Run(t, store, func(s stores.Store) (http.Handler, error) { return newEcho(s) })
}

// TestAround has the middleware around the whole of echo, with echo's gzip
// between it and the handlers.
func TestAround(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	drive.Run(t, store, func(s stores.Store) (http.Handler, error) {
		mw, err := middleware.New(s)
		e := echo.New()
		e.Use(echomw.Gzip())
		e.GET("/", handle(home))
		e.GET("/whoami", handle(whoami))
		e.POST("/login", handle(login))
		e.POST("/logout", handle(logout))
		e.GET("/stream", handle(stream))
		e.GET("/events", handle(counted))
		return mw.Handler(e), err
	})
}

// TestError has a handler that changes the session and then fails.
func TestError(t *testing.T) {
	memory, err := memstore.New()
	require.NoError(t, err)
	store := &drive.Store{Store: memory}
	e, err := newEcho(store)
	require.NoError(t, err)
	e.GET("/attempt", func(c echo.Context) error {
		s, err := sessions.Load(c.Request().Context())
		if err != nil {
			return err
		}
		if _, err := visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			return err
		}
		return echo.NewHTTPError(http.StatusUnauthorized, "wrong password")
	})
	e.GET("/broken", func(echo.Context) error { return errors.New("at 10.1.2.3") })
	server := httptest.NewTLSServer(e)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Transport: server.Client().Transport, Jar: jar}
	get := func(path string) (*http.Response, string) {
		resp, err := client.Get(server.URL + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}

	resp, body := get("/attempt")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.JSONEq(t, `{"message":"wrong password"}`, body)
	require.Len(t, resp.Header["Set-Cookie"], 1)
	_, body = get("/")
	require.Equal(t, "Visit 2\n", body, "the attempt was counted")

	store.Down.Store(true)
	resp, body = get("/attempt")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "Service Unavailable\n", body, "one answer, the error handler's")
	store.Down.Store(false)

	resp, body = get("/broken")
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.NotContains(t, body, "10.1.2.3")
}

// TestFails has a function of handle's change the session and then fail.
func TestFails(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	e, err := newEcho(store)
	require.NoError(t, err)
	e.GET("/fails", handle(func(_ echo.Context, s *sessions.Session) error {
		return errors.Join(user.Set(s, "ada"), sessions.ErrTooManySessions)
	}))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/fails", nil))
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Empty(t, w.Result().Cookies())
}
