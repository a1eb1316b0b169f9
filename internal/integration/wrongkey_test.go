//go:build unix

package integration_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
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
						middleware.WithLifetime(time.Hour), middleware.WithRolling(), middleware.WithTouchInterval(0),
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
