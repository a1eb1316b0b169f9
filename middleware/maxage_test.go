package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// A job, or a stream, moves the idle time on, and no cookie goes out with it. The browser
// keeps the one that it has for as long as the session can live.
func TestPersistentCookieBesideAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw := memory(t).new(t, middleware.WithRolling(time.Hour), middleware.WithPersistentCookie())
		var id sessions.ID
		visit := func(cookie string) answer {
			return ask(mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				id = s.ID()
				if s.IsNew() {
					return user.Set(s, "ada")
				}
				return nil
			}), "/", cookie)
		}
		first := visit("")
		cookie, gone := first.value(t), time.Now().Add(time.Duration(first.Cookies()[0].MaxAge)*time.Second)
		for range 120 {
			time.Sleep(time.Minute)
			require.NoError(t, mw.Manager().Resume(t.Context(), id, func(_ context.Context, s *sessions.Session) error {
				increment(s)
				return nil
			}))
			require.True(t, time.Now().Before(gone), "the browser has dropped the cookie of a session in use")
			require.Empty(t, visit(cookie).ours())
		}
	})
}

// The browser's Max-Age is the time to the session's absolute end: what moves an idle time on
// may be no request of the browser's.
func TestMaxAgeIsTheDeadline(t *testing.T) {
	for name, opts := range map[string][]middleware.Option{
		"fixed":   {middleware.WithLifetime(3 * time.Hour), middleware.WithPersistentCookie()},
		"rolling": {middleware.WithLifetime(3 * time.Hour), middleware.WithRolling(time.Hour), middleware.WithPersistentCookie()},
		"capped":  {middleware.WithLifetime(90 * time.Minute), middleware.WithRolling(time.Hour), middleware.WithPersistentCookie()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, s := range setups(t) {
					mw := s.new(t, opts...)
					cookie, seen := "", 0
					deadline := time.Now().Add(3 * time.Hour)
					if name == "capped" {
						deadline = time.Now().Add(90 * time.Minute)
					}
					for range 4 {
						a := ask(mw.Handler(count), "/", cookie)
						if len(a.ours()) == 1 {
							seen++
							cookie = a.value(t)
							require.Equal(t, int((time.Until(deadline)+time.Second-1)/time.Second), a.Cookies()[0].MaxAge, s.name)
						}
						time.Sleep(17*time.Minute + 300*time.Millisecond)
					}
					want := 4
					if s.mem != nil { // its cookie stays as it is
						want = 1
					}
					require.Equal(t, want, seen, s.name)
				}
			})
		})
	}
}

// A fixed lifetime is not renewed by writing.
func TestFixedLifetimeIsFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range setups(t) {
			mw := s.new(t, middleware.WithLifetime(time.Hour))
			cookie := visited(t, mw.Handler(count))
			for range 5 {
				time.Sleep(11 * time.Minute)
				cookie = cmpValue(ask(mw.Handler(count), "/", cookie), cookie)
			}
			require.Equal(t, "6", ask(mw.Handler(peek), "/", cookie).body)
			time.Sleep(6 * time.Minute)
			require.Equal(t, "0", ask(mw.Handler(peek), "/", cookie).body, s.name)
		}
	})
}

// A session that the cookie holds rolls with every response when asked to, and no more than
// once per touch interval otherwise.
func TestRollingCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []setup{sealed(t), signed(t)} {
			every := s.new(t, middleware.WithRolling(time.Hour), middleware.WithPersistentCookie(), middleware.WithTouchInterval(0))
			cookie := visited(t, every.Handler(count))
			for range 3 {
				time.Sleep(time.Second)
				a := ask(every.Handler(peek), "/", cookie)
				require.Equal(t, "1", a.body)
				cookie = a.value(t)
			}

			seldom := s.new(t, middleware.WithRolling(time.Hour), middleware.WithPersistentCookie(), middleware.WithTouchInterval(time.Minute))
			cookie = visited(t, seldom.Handler(count))
			time.Sleep(59 * time.Second)
			require.Empty(t, ask(seldom.Handler(peek), "/", cookie).ours())
			time.Sleep(time.Second)
			require.Len(t, ask(seldom.Handler(peek), "/", cookie).ours(), 1)
		}
	})
}

func TestSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range setups(t) {
			mw := s.new(t)
			a := ask(mw.Handler(count), "/")
			require.NotContains(t, a.ours()[0], "Max-Age")
			require.NotContains(t, a.ours()[0], "Expires")
			time.Sleep(30*24*time.Hour - time.Second)
			require.Equal(t, "1", ask(mw.Handler(peek), "/", a.value(t)).body)
			time.Sleep(time.Second)
			require.Equal(t, "0", ask(mw.Handler(peek), "/", a.value(t)).body, "it does not live for ever on the server")
		}
	})
}
