package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// function is what HandlerFunc takes.
type function = func(http.ResponseWriter, *http.Request, *sessions.Session) error

var errTemplate = errors.New("the template broke")

// ways are the two ways to a function: alone, and inside a Handler, with what others
// put between.
var ways = map[string]func(*middleware.Middleware, function) http.Handler{
	"alone": func(mw *middleware.Middleware, f function) http.Handler { return mw.HandlerFunc(f) },
	"inside": func(mw *middleware.Middleware, f function) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", mw.HandlerFunc(f))
		return mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), betweenKey{}, "between")))
		}))
	},
}

type betweenKey struct{}

// each runs the test with every setup and way.
func each(t *testing.T, f func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler)) {
	for _, s := range append(setups(t), signed(t)) {
		for name, way := range ways {
			t.Run(s.name+"/"+name, func(t *testing.T) { f(t, s, way) })
		}
	}
}

// silent is for logs that nobody wants to see.
func silent() middleware.Option { return middleware.WithLogger(slog.New(slog.DiscardHandler)) }

func TestHandlerFunc(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		mw := s.new(t)
		site := serve(t, h(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			if r.URL.Path == "/silent" {
				return visits.Set(s, 70)
			}
			loaded, err := sessions.Load(r.Context())
			require.NoError(t, err)
			require.Same(t, loaded, s, "there is one session")
			n, err := visits.Update(s, func(n int) int { return n + 1 })
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, n)
			return err
		}))
		require.Equal(t, "1", site.get("/").body)
		require.Equal(t, "2", site.get("/").body)
		require.Equal(t, http.StatusOK, site.get("/silent").StatusCode)
		require.Equal(t, "71", site.get("/").body)
	})
	require.Panics(t, func() { memory(t).new(t).HandlerFunc(nil) }, "when the program starts, and not with a request")
}

// A login whose first Set succeeds and whose second fails leaves nothing behind: no
// value, no ID, no owner, no cookie.
func TestHalfDoneLoginLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		owners := s.mem != nil
		opts := []middleware.Option{silent()}
		if owners {
			opts = append(opts, middleware.WithOwners(encrypt.GenerateKey()))
		}
		var ev events
		mw := s.new(t, append(opts, ev.option())...)
		login := h(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			if owners {
				if err := s.SetOwner(r.Context(), "ada"); err != nil {
					return err
				}
			} else if err := s.Regenerate(); err != nil {
				return err
			}
			w.Header().Set("Content-Type", "text/csv")
			w.Header().Set("Location", "/welcome")
			if err := user.Set(s, "ada"); err != nil {
				return err
			}
			return sessions.Key[func()]("text").Set(s, func() {})
		})
		cookie := visited(t, mw.Handler(count))
		records := 0
		if owners {
			records = s.mem.Len()
		}
		for _, sent := range [][]string{nil, {cookie}} {
			ev.take()
			a := ask(login, "/", sent...)
			require.Equal(t, http.StatusInternalServerError, a.StatusCode)
			require.Equal(t, "Internal Server Error\n", a.body, "the cause is not the client's affair")
			require.Equal(t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
			require.Empty(t, a.Header.Get("Location"))
			require.Empty(t, a.ours())
			for _, e := range ev.take() {
				require.Equal(t, "loaded", e)
			}
			require.Equal(t, "nobody", ask(mw.Handler(who), "/", sent...).body)
			require.Equal(t, fmt.Sprint(len(sent)), ask(mw.Handler(peek), "/", sent...).body)
			if owners {
				list, err := mw.Manager().Sessions(t.Context(), "ada")
				require.NoError(t, err)
				require.Empty(t, list)
				require.Equal(t, records, s.mem.Len())
			}
		}
	})
}

// The error handler gets the function's own request, and reads the session as it is
// stored. What it would change is not written.
func TestErrorHandlerOfAFunction(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		var given *http.Request
		var calls int
		mw := s.new(t, middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
			calls++
			require.Same(t, errTemplate, err)
			require.Equal(t, given.Context().Value(betweenKey{}), r.Context().Value(betweenKey{}))
			require.Equal(t, given.Pattern, r.Pattern)
			require.Equal(t, "mine", r.Context().Value(t))
			s := session(r)
			n, err := visits.GetOr(s, 0)
			check(err)
			require.ErrorIs(t, sessions.Commit(r.Context()), errTemplate)
			visits.Set(s, 99)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, n)
		}))
		cookie := visited(t, mw.Handler(count))
		f := h(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			given = r
			increment(s)
			return errTemplate
		})
		req := httptest.NewRequest("GET", "https://example.com/", nil)
		req.Header.Set("Cookie", cookieName+"="+cookie)
		a := record(f, req.WithContext(context.WithValue(t.Context(), t, "mine")))
		require.Equal(t, http.StatusTeapot, a.StatusCode)
		require.Equal(t, "1", a.body)
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, 1, calls)
		require.Equal(t, "1", ask(mw.Handler(peek), "/", cookie).body)
	})
}

// Where the session can't be loaded the function does not run.
func TestFunctionDoesNotRunWithoutASession(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			store := &flaky{Store: memory(t).store}
			mw := setup{store: store}.new(t, middleware.WithoutEncryption())
			cookie := visited(t, mw.Handler(count))
			store.down.Store(true)
			a := ask(way(mw, func(http.ResponseWriter, *http.Request, *sessions.Session) error {
				panic("it runs")
			}), "/", cookie)
			require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			require.Empty(t, a.Header["Set-Cookie"])

			skips := memory(t).new(t, silent(), middleware.WithSkip(func(*http.Request) bool { return true }),
				middleware.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
					require.ErrorIs(t, err, sessions.ErrNoMiddleware)
					w.WriteHeader(http.StatusTeapot)
				}))
			require.Equal(t, http.StatusTeapot, ask(way(skips, neverRuns), "/").StatusCode)
		})
	}
}

func neverRuns(http.ResponseWriter, *http.Request, *sessions.Session) error { panic("it runs") }

// After the function wrote, an error adds nothing to the answer. It is logged, and what
// was not committed is not written, neither under the old token nor with a new one.
func TestErrorAfterTheFunctionWrote(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		var log lockedBuffer
		mw := s.new(t, middleware.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			middleware.WithErrorHandler(func(http.ResponseWriter, *http.Request, error) { panic("the error handler runs") }))
		cookie := visited(t, mw.Handler(count))
		a := ask(h(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			increment(s)
			io.WriteString(w, "half a page")
			incrementLate(s)
			return errTemplate
		}), "/", cookie)
		require.Equal(t, "half a page", a.body)
		require.Contains(t, log.String(), "level=ERROR")
		require.Contains(t, log.String(), `msg="a handler failed" method=GET path=/ err="the template broke" session=`)
		now := cookie
		if len(a.ours()) > 0 {
			now = a.value(t)
		}
		require.Equal(t, "2", ask(mw.Handler(peek), "/", now).body, "what was committed with the first byte, and no more")
	})
}

// A failing template does not undo a logout, before the first byte or after it.
func TestErrorAfterALogout(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		for _, writes := range []bool{false, true} {
			mw := s.new(t, silent())
			cookie := visited(t, mw.Handler(count))
			a := ask(h(mw, func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				s.Destroy()
				check(user.Set(s, "a new session"))
				s.Discard()
				if writes {
					io.WriteString(w, "half a page")
				}
				return errTemplate
			}), "/", cookie)
			require.Len(t, a.ours(), 1)
			require.Contains(t, a.ours()[0], "Max-Age=0")
			if s.mem != nil {
				require.Equal(t, "0", ask(mw.Handler(peek), "/", cookie).body)
			}
		}
	})
	t.Run("that fails", func(t *testing.T) {
		store := &flaky{Store: memory(t).store}
		var got error
		mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithCommitTimeout(500*time.Millisecond),
			middleware.WithErrorHandler(func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }))
		cookie := visited(t, mw.Handler(count))
		a := ask(mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
			s.Destroy()
			store.down.Store(true)
			return errTemplate
		}), "/", cookie)
		require.ErrorIs(t, got, errTemplate)
		require.ErrorIs(t, got, stores.ErrUnavailable, "the error handler is told that nobody was logged out")
		require.Empty(t, a.ours())
	})
}

// What the function committed itself stays, and its cookie goes out with the error.
func TestErrorAfterACommit(t *testing.T) {
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		mw := s.new(t, silent())
		a := ask(h(mw, func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			check(s.Regenerate())
			increment(s)
			check(sessions.Commit(r.Context()))
			increment(s)
			return errTemplate
		}), "/", visited(t, mw.Handler(count)))
		require.Equal(t, http.StatusInternalServerError, a.StatusCode)
		require.Equal(t, "2", ask(mw.Handler(peek), "/", a.value(t)).body)
	})
}

// A panic and runtime.Goexit discard, and go on; who recovers inside answers without
// what the function had changed.
func TestPanicOfAFunction(t *testing.T) {
	for _, s := range setups(t) {
		for what, end := range map[string]func(){"panic": func() { panic(errTemplate) }, "Goexit": runtime.Goexit} {
			t.Run(s.name+"/"+what, func(t *testing.T) {
				mw := s.new(t)
				cookie := visited(t, mw.Handler(count))
				f := mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
					check(s.Regenerate())
					increment(s)
					end()
					return nil
				})
				rec := httptest.NewRecorder()
				inside := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					done := make(chan any)
					go func() {
						defer close(done)
						defer func() {
							if p := recover(); p != nil {
								done <- p
							}
						}()
						f.ServeHTTP(w, r)
						done <- "it returned"
					}()
					got, panicked := <-done
					if require.Equal(t, what == "panic", panicked); panicked {
						require.Equal(t, errTemplate, got)
						<-done
					}
					io.WriteString(w, "sorry")
				}))
				req := httptest.NewRequest("GET", "https://example.com/", nil)
				req.Header.Set("Cookie", cookieName+"="+cookie)
				inside.ServeHTTP(rec, req)
				a := answer{rec.Result(), rec.Body.String()}
				require.Equal(t, "sorry", a.body)
				require.Empty(t, a.ours())
				require.Equal(t, "1", ask(mw.Handler(peek), "/", cookie).body)
			})
		}
	}
}

// A limit that the handler answers itself reaches the client with the handler's own
// status, and the session is as it was. One that it returns is 403, and no alarm.
func TestTooManySessionsInAFunction(t *testing.T) {
	for name, way := range ways {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint(name, "/", own), func(t *testing.T) {
				var log lockedBuffer
				mw := memory(t).new(t, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew),
					middleware.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				login := way(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
					if err := s.SetOwner(r.Context(), "ada"); err != nil {
						return err
					}
					if err := user.Set(s, "ada"); err != nil {
						return err
					}
					err := sessions.Commit(r.Context())
					if errors.Is(err, sessions.ErrTooManySessions) && own {
						w.WriteHeader(http.StatusConflict)
						_, err = io.WriteString(w, "log out elsewhere first")
					}
					return err
				})
				require.Equal(t, http.StatusOK, ask(login, "/").StatusCode)
				cookie := visited(t, mw.Handler(count))
				a := ask(login, "/", cookie)
				if own {
					require.Equal(t, http.StatusConflict, a.StatusCode)
					require.Equal(t, "log out elsewhere first", a.body)
				} else {
					require.Equal(t, http.StatusForbidden, a.StatusCode)
				}
				require.Empty(t, a.ours())
				require.Equal(t, "nobody", ask(mw.Handler(who), "/", cookie).body)
				require.Equal(t, "2", ask(mw.Handler(count), "/", cookie).body, "the session as it was")
				require.Contains(t, log.String(), "level=WARN")
				require.NotContains(t, log.String(), "level=ERROR")
			})
		}
	}
}

// A commit that fails at the first byte is answered once, also where the function
// returns what Write said.
func TestFailedCommitIsAnsweredOnce(t *testing.T) {
	for name, way := range ways {
		for _, wrapped := range []string{"%w", "page: %w", "page: %v"} {
			t.Run(name+"/"+wrapped, func(t *testing.T) {
				var log lockedBuffer
				var calls int
				mw := sealed(t).new(t, middleware.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					middleware.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
						calls++
						require.ErrorIs(t, err, stores.ErrTooLarge)
						http.Error(w, "too much", http.StatusRequestEntityTooLarge)
					}))
				a := ask(way(mw, func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
					check(text.Set(s, strings.Repeat("x", 5000)))
					_, err := io.WriteString(w, "saved")
					require.Error(t, err)
					return fmt.Errorf(wrapped, err)
				}), "/")
				require.Equal(t, "too much\n", a.body)
				require.Equal(t, 1, calls)
				require.Equal(t, wrapped == "page: %v", strings.Contains(log.String(), "a handler failed"), "only what nobody was told")
			})
		}
	}
}

// The default error handler tells the client nothing, so the log is told all: as an
// error, or, where nobody need get up at night, as a warning.
func TestErrorsOfFunctionsAreLogged(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		level  string
	}{
		{errTemplate, 500, "ERROR"},
		{sessions.ErrEnded, 409, "WARN"},
		{stores.ErrTooLarge, 413, "WARN"},
		{sessions.ErrTooManySessions, 403, "WARN"},
		{context.Canceled, 503, "WARN"},
		{context.DeadlineExceeded, 503, "ERROR"},
		{stores.ErrUnavailable, 503, "ERROR"},
	} {
		var log lockedBuffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		fails := func(http.ResponseWriter, *http.Request, *sessions.Session) error {
			return fmt.Errorf("page: %w", tt.err)
		}
		a := ask(memory(t).new(t, middleware.WithLogger(logger)).HandlerFunc(fails), "/")
		require.Equal(t, tt.status, a.StatusCode)
		require.Equal(t, 1, strings.Count(log.String(), "\n"))
		require.Contains(t, log.String(), "level="+tt.level)

		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		ask(memory(t).new(t).HandlerFunc(fails), "/")
		slog.SetDefault(before)
		require.Equal(t, 2, strings.Count(log.String(), "\n"), "without a logger the default one")

		ask(memory(t).new(t, middleware.WithLogger(logger), middleware.WithErrorHandler(func(http.ResponseWriter, *http.Request, error) {})).HandlerFunc(fails), "/")
		require.Equal(t, 2, strings.Count(log.String(), "\n"), "an error handler of the application's own logs as it likes")
	}
	t.Run("a client that goes away while the session is loaded", func(t *testing.T) {
		var log lockedBuffer
		mw := setup{store: waits{memory(t).store}}.new(t, middleware.WithoutEncryption(), middleware.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		req := httptest.NewRequest("GET", "https://example.com/", nil).WithContext(ctx)
		req.Header.Set("Cookie", cookieName+"="+unknown())
		require.Equal(t, http.StatusServiceUnavailable, record(mw.HandlerFunc(neverRuns), req).StatusCode)
		require.Contains(t, log.String(), "level=INFO")
		require.NotContains(t, log.String(), "level=ERROR")
	})
}

// The error handler may show a page that is such a function itself.
func TestErrorPageThatIsAFunction(t *testing.T) {
	var page http.Handler
	var breaks atomic.Bool
	var log lockedBuffer
	mw := memory(t).new(t, middleware.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, _ error) { page.ServeHTTP(w, r) }))
	page = mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if breaks.Load() {
			return errors.New("the error page broke")
		}
		n, err := visits.GetOr(s, 0)
		fmt.Fprint(w, "sorry, visitor ", n)
		return err
	})
	cookie := visited(t, mw.Handler(count))
	fails := mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		increment(s)
		return errTemplate
	})
	ends(t, func() { require.Equal(t, "sorry, visitor 1", ask(fails, "/", cookie).body) })
	breaks.Store(true)
	ends(t, func() { require.Equal(t, http.StatusInternalServerError, ask(fails, "/", cookie).StatusCode) })
	require.Contains(t, log.String(), "the error page broke")
}

// Behind a TimeoutHandler the function goes on in a goroutine of its own.
func TestFunctionBehindATimeout(t *testing.T) {
	mw := memory(t).new(t, silent())
	cookie := visited(t, mw.Handler(count))
	timedOut, failed := make(chan bool), make(chan bool)
	f := mw.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		<-r.Context().Done()
		<-timedOut
		incrementLate(s)
		defer close(failed)
		return errTemplate
	})
	a := ask(mw.Handler(http.TimeoutHandler(f, 1e6, "too slow")), "/", cookie)
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	require.Equal(t, "too slow", a.body)
	close(timedOut)
	<-failed
	require.Equal(t, "1", ask(mw.Handler(peek), "/", cookie).body)
}

func TestStatusOf(t *testing.T) {
	for err, status := range map[error]int{
		stores.ErrUnavailable:       503,
		sessions.ErrUnreadable:      503,
		sessions.ErrBusy:            503,
		context.Canceled:            503,
		context.DeadlineExceeded:    503,
		sessions.ErrTooManySessions: 403,
		middleware.ErrNotFresh:      403,
		stores.ErrNotFound:          404,
		sessions.ErrEnded:           409,
		stores.ErrTooLarge:          413,
		sessions.ErrNoValue:         500,
		errors.New("another"):       500,
	} {
		require.Equal(t, status, middleware.StatusOf(fmt.Errorf("a handler: %w", err)), err)
	}
	require.Equal(t, 503, middleware.StatusOf(errors.Join(stores.ErrNotFound, stores.ErrUnavailable)), "nothing is known")

	// Another's handle is nobody's failure.
	mw := memory(t).new(t, middleware.WithOwners(encrypt.GenerateKey()))
	a := ask(mw.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, _ *sessions.Session) error {
		return mw.Manager().Revoke(r.Context(), "ada", sessions.Handle(strings.Repeat("A", 43)))
	}), "/")
	require.Equal(t, http.StatusNotFound, a.StatusCode)
}
