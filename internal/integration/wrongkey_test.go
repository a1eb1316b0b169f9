//go:build unix

package integration_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// A wrong key that is deployed by mistake answers with errors and does nothing
// else: every record stays byte for byte as it is, and with the right key all
// are logged in again.
func TestWrongKey(t *testing.T) {
	for _, where := range outside {
		for _, cache := range caches {
			t.Run(where.name+", "+cache.name, func(t *testing.T) {
				b := where.make(t)
				with := func(key encrypt.Key) *middleware.Middleware {
					return middlewareOf(t, b.store, middleware.WithEncryptor(ring(t, key)), middleware.WithCookieCache(cache.fresh),
						middleware.WithRolling(time.Hour), middleware.WithTouchInterval(0),
						middleware.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
							if !errors.Is(err, sessions.ErrUnreadable) {
								t.Errorf("the error handler was given %v", err)
							}
							http.Error(w, "try again", http.StatusServiceUnavailable)
						}))
				}
				key := encrypt.GenerateKey()
				right, wrong := with(key), with(encrypt.GenerateKey())
				users := make([]*browser, 5)
				for i := range users {
					users[i] = visited(t, right)
				}
				before := b.raw(t)
				require.Len(t, before, len(users))

				for _, u := range users {
					for _, do := range []handle{look, count, logout, setUser("someone"), (*sessions.Session).Regenerate} {
						for _, u := range []*browser{u, u.id()} {
							a := u.send(wrong, do)
							require.Equal(t, http.StatusServiceUnavailable, a.status)
							require.Empty(t, a.lines)
						}
					}
				}
				require.Equal(t, before, b.raw(t))
				for _, u := range users {
					require.Equal(t, 1, u.visits(t, right))
				}
			})
		}
	}
}

// Of a session in a cookie a wrong key can't be told from somebody's garbage: it
// answers as if there were no session, and the next write replaces the cookie. The
// log warns of it, and not of what was tampered with.
func TestWrongKeyOfACookie(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	with := func(key encrypt.Key) *middleware.Middleware {
		return middlewareOf(t, cookiestore.Sealed(), middleware.WithEncryptor(ring(t, key)), middleware.WithLogger(logger))
	}
	right, wrong := with(encrypt.GenerateKey()), with(encrypt.GenerateKey())
	u := visited(t, right)

	tampered := *u
	last := len(u.cookie) - 10
	tampered.cookie = u.cookie[:last] + string(u.cookie[last]^1) + u.cookie[last+1:]
	a := tampered.send(right, look)
	require.Equal(t, http.StatusOK, a.status)
	require.Empty(t, log.String())

	a = u.send(wrong, look)
	require.Equal(t, http.StatusOK, a.status)
	require.Empty(t, a.lines)
	require.Contains(t, log.String(), "not in the ring")
	require.Equal(t, 1, u.visits(t, right), "the cookie was not touched")

	a = u.send(wrong, count)
	require.Equal(t, http.StatusOK, a.status)
	require.NotEmpty(t, a.lines)
	require.Equal(t, 1, u.visits(t, wrong))
}
