package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// enrich is a log handler that adds the session's visits to each line, as those
// do that look for the user in the context. A Commit, which it must not do, is to
// answer at once too.
type enrich struct {
	slog.Handler
	lines atomic.Int32
}

func (h *enrich) Enabled(context.Context, slog.Level) bool { return true }

func (h *enrich) Handle(ctx context.Context, r slog.Record) error {
	h.lines.Add(1)
	if s, err := sessions.Load(ctx); err == nil {
		n, _ := visits.GetOr(s, 0)
		r.AddAttrs(slog.Int("visits", n))
	}
	if _, err := sessions.FromContext(ctx); err != nil {
		r.AddAttrs(slog.Any("session", err))
	}
	if err := sessions.Commit(ctx); err == nil {
		panic("a commit within a commit")
	}
	return h.Handler.Handle(ctx, r)
}

// ends fails the test where f does not return.
func ends(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the request hangs")
	}
}

// A log handler or hook that looks up the session from its context gets an answer
// at once, whatever the request is about to do.
func TestLogAndHooksMayLookUpTheSession(t *testing.T) {
	type ctxKey struct{}
	for _, s := range setups(t) {
		t.Run(s.name, func(t *testing.T) {
			var log lockedBuffer
			h := &enrich{Handler: slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})}
			var heard atomic.Int32
			look := func(ctx context.Context, _ sessions.Event) {
				heard.Add(1)
				if s, err := sessions.Load(ctx); err == nil {
					s.Metadata()
				}
				sessions.FromContext(ctx)
				sessions.Commit(ctx)
			}
			mw := s.new(t, middleware.WithLogger(slog.New(h)), middleware.WithHooks(sessions.Hooks{
				Loaded: look, Created: look, Saved: look, Touched: look, Conflict: look, Regenerated: look, Destroyed: look, Revoked: look,
				Ended: look, Rejected: look, LateChange: look, Refused: look, StoreError: look,
			}))
			for name, do := range map[string]http.HandlerFunc{
				"read":   peek.ServeHTTP,
				"change": count.ServeHTTP,
				"with a context of its own": func(w http.ResponseWriter, r *http.Request) {
					ctx := context.WithValue(r.Context(), ctxKey{}, "mine")
					_, err := sessions.Load(ctx)
					require.NoError(t, err)
				},
				"explicit commit": func(w http.ResponseWriter, r *http.Request) {
					increment(session(r))
					require.NoError(t, sessions.Commit(r.Context()))
				},
				"login":  func(w http.ResponseWriter, r *http.Request) { check(session(r).Regenerate()); increment(session(r)) },
				"logout": func(w http.ResponseWriter, r *http.Request) { session(r).Destroy() },
				"late": func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, "body")
					visits.Set(session(r), 7)
					sessions.Commit(r.Context())
				},
				"too large": set(5000),
			} {
				for _, cookie := range []string{visited(t, mw.Handler(count)), "garbage", unknown()} {
					lines, events := h.lines.Load(), heard.Load()
					ends(t, func() { ask(mw.Handler(do), "/", cookie) })
					require.Greater(t, h.lines.Load(), lines, name)
					require.Greater(t, heard.Load(), events, name)
				}
			}
			require.Contains(t, log.String(), "visits=1", "the session is known once it is loaded")
			require.Contains(t, log.String(), sessions.ErrNotLoaded.Error(), "and before that, that it is not")
		})
	}
}

// The deadline of one caller is not the request's.
func TestShortDeadlineIsTheCallersOwn(t *testing.T) {
	mem := memory(t)
	store := &slowOnce{Store: mem.store}
	mw := setup{store: store}.new(t, middleware.WithoutEncryption())
	cookie := visited(t, mw.Handler(count))
	store.slow.Store(true)
	a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
		defer cancel()
		_, err := sessions.Load(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, sessions.Commit(r.Context()), "nothing is loaded, nothing has failed")
		count.ServeHTTP(w, r)
	})), "/", cookie)
	require.Equal(t, "2", a.body)
}

// slowOnce waits for the context of one Load.
type slowOnce struct {
	stores.Store
	slow atomic.Bool
}

func (s *slowOnce) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	if s.slow.Swap(false) {
		<-ctx.Done()
		return stores.Record{}, ctx.Err()
	}
	return s.Store.Place().Server.Load(ctx, key, f)
}

func (s *slowOnce) Place() stores.Place { return between(s.Store, s) }

func (s *slowOnce) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	return s.Store.Place().Server.Save(ctx, key, rec)
}

func (s *slowOnce) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	return s.Store.Place().Server.Put(ctx, key, rec)
}

// The error handler has the handler's request, with its route, and finds there
// the session as it is stored: of this Middleware, not of one around it.
func TestErrorHandlersRequest(t *testing.T) {
	store := &flaky{Store: memory(t).store}
	outer := memory(t).new(t, middleware.WithCookieName("outer"))
	asked := 0
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithCommitTimeout(500*time.Millisecond), middleware.WithErrorHandler(
		func(w http.ResponseWriter, r *http.Request, err error) {
			asked++
			require.ErrorIs(t, err, stores.ErrUnavailable)
			require.Equal(t, "GET /item/{id}", r.Pattern)
			require.Equal(t, "7", r.PathValue("id"))
			s, err := sessions.Load(r.Context())
			require.NoError(t, err)
			n, err := visits.Get(s)
			require.NoError(t, err)
			s, err = sessions.FromContext(r.Context())
			require.NoError(t, err)
			require.False(t, s.IsNew())
			require.ErrorIs(t, sessions.Commit(r.Context()), stores.ErrUnavailable)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, n)
		}))
	cookie := visited(t, mw.Handler(count))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /item/{id}", func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		store.down.Store(true)
	})
	ends(t, func() {
		a := ask(outer.Handler(mw.Handler(mux)), "/item/7", cookie)
		require.Equal(t, http.StatusTeapot, a.StatusCode)
		require.Equal(t, "1", a.body, "what could not be stored is not shown as if it were")
	})
	require.Equal(t, 1, asked)
}

// A second cookie of our name, which a sibling subdomain can plant, must not keep
// the user out because its record does not open.
func TestSecondCookieIsUnreadable(t *testing.T) {
	mem := memory(t)
	right, wrong := ring(t, encrypt.GenerateKey()), ring(t, encrypt.GenerateKey())
	mw := mem.new(t, middleware.WithEncryptor(right))
	own := visited(t, mw.Handler(count))
	unreadable := visited(t, mem.new(t, middleware.WithEncryptor(wrong)).Handler(count))
	for _, pair := range [][]string{{own, unreadable}, {unreadable, own}} {
		a := ask(mw.Handler(peek), "/", pair...)
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Equal(t, "1", a.body)
	}
	for _, none := range [][]string{{unreadable}, {unreadable, "garbage"}, {unknown(), unreadable}} {
		a := ask(mw.Handler(count), "/", none...)
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode, "nothing opened")
		require.Empty(t, a.ours())
	}

	// What is unknown for want of an answer stays an error: it may be the user's.
	store := &flaky{Store: mem.store}
	mw = setup{store: store}.new(t, middleware.WithEncryptor(right))
	store.down.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, ask(mw.Handler(peek), "/", unreadable, own).StatusCode)
}

// Whatever verb prints a request's context, or a struct that has it, the session's
// cookie is not in it.
func TestContextPrintsNoCookie(t *testing.T) {
	for _, s := range setups(t) {
		var printed lockedBuffer
		show := func(ctx context.Context) {
			hidden := struct{ ctx context.Context }{ctx}
			for _, v := range []any{ctx, hidden, &hidden, context.WithValue(ctx, hidden, 1), (&http.Request{}).WithContext(ctx)} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%c", "%e", "%U", "%b", "%o"} {
					fmt.Fprintf(&printed, verb+"\n", v)
				}
				slog.New(slog.NewTextHandler(&printed, nil)).Info("text", "v", v)
				slog.New(slog.NewJSONHandler(&printed, nil)).Info("json", "v", v)
				fmt.Fprintln(&printed, fmt.Errorf("wrapped: %v", v))
			}
		}
		mw := s.new(t, middleware.WithHooks(sessions.Hooks{Saved: func(ctx context.Context, _ sessions.Event) { show(ctx) }}))
		cookie := visited(t, mw.Handler(count))
		req := httptest.NewRequest("GET", "https://example.com/", nil)
		req.Header.Set("Cookie", cookieName+"="+cookie)
		a := record(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check(session(r).Regenerate())
			check(sessions.Commit(r.Context()))
			increment(session(r))
			check(sessions.Commit(r.Context()))
			show(r.Context())
		})), req)
		require.NotEmpty(t, a.ours())
		require.NotEmpty(t, printed.String())
		value := a.value(t)
		for _, secret := range []string{value, value[:32], cookie[:32], "Max-Age", "HttpOnly"} {
			for _, form := range []string{"%s", "%x", "%X"} {
				require.False(t, strings.Contains(printed.String(), fmt.Sprintf(form, secret)), form)
			}
		}
	}
}
