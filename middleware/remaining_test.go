package middleware_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// Asking how long the session lives must not keep it alive, whatever would be due with
// another request: its expiry, a copy, a key that was retired.
func TestRemaining(t *testing.T) {
	first, second := encrypt.GenerateKey(), encrypt.GenerateKey()
	sealing := func(keys ...encrypt.Key) middleware.Option { return middleware.WithEncryptor(ring(t, keys...)) }
	both := sealing(first)
	client, err := cookiestore.Signed(first)
	require.NoError(t, err)

	type opts = []middleware.Option
	for name, tt := range map[string]struct {
		store         stores.Store // nil: memory
		before, after opts
		size          int // of a value
	}{
		"memory":                {},
		"sealed cookie":         {store: cookiestore.Sealed(), before: opts{both}},
		"signed cookie":         {store: client},
		"hybrid, in the cookie": {store: hybrid(t), before: opts{both}},
		"hybrid, on the server": {store: hybrid(t), before: opts{both}, size: 5000},
		"cookie cache":          {before: opts{both, middleware.WithCookieCache(time.Minute)}},
		"fresh cookie cache":    {before: opts{both, middleware.WithCookieCache(time.Hour)}},
		"autoload":              {before: opts{middleware.WithAutoload()}},
		"every response":        {before: opts{middleware.WithTouchInterval(0)}},
		"persistent":            {before: opts{middleware.WithPersistentCookie()}},
		"a retired key":         {before: opts{sealing(first)}, after: opts{sealing(second, first)}},
		"a retired key, cookie": {store: cookiestore.Sealed(), before: opts{sealing(first)}, after: opts{sealing(second, first)}},
		"a retired MAC":         {before: opts{middleware.WithSignedIDs(first)}, after: opts{middleware.WithSignedIDs(second, first)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.store == nil {
					tt.store = memory(t).store
				}
				if tt.after == nil {
					tt.after = tt.before
				}
				store := &flaky{Store: tt.store}
				make := func(o opts) *middleware.Middleware {
					return setup{store: store, opts: slices.Concat(opts{middleware.WithRolling(time.Hour), middleware.WithLifetime(12 * time.Hour)}, o)}.new(t)
				}
				cookie := ask(make(tt.before).HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
					return text.Set(s, strings.Repeat("x", tt.size))
				}), "/").value(t)

				mw := make(tt.after)
				remaining := mw.Remaining()
				left := func(want time.Duration) {
					t.Helper()
					saves, puts := store.saves.Load(), store.put.Load()
					a := ask(remaining, "/", cookie)
					require.Equal(t, http.StatusOK, a.StatusCode)
					require.Equal(t, int(want/time.Second), atoi(t, strings.TrimSpace(a.body)))
					require.Empty(t, a.Header["Set-Cookie"])
					require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
					require.Equal(t, []int64{saves, puts}, []int64{store.saves.Load(), store.put.Load()}, "written")
				}
				left(time.Hour)
				time.Sleep(40 * time.Minute)
				for range 3 {
					left(20 * time.Minute)
				}
				time.Sleep(10 * time.Minute)
				left(10 * time.Minute)

				a := ask(mw.Handler(peek), "/", cookie) // this is use
				require.Equal(t, "0", a.body)
				if len(a.ours()) > 0 {
					cookie = a.value(t)
				}
				left(time.Hour)
				time.Sleep(time.Hour)
				left(0)
				ask(mw.Handler(peek), "/", cookie)
				left(0)
			})
		})
	}
	require.Equal(t, "0\n", ask(memory(t).new(t).Remaining(), "/").body)
}

func hybrid(t testing.TB) stores.Store {
	server, err := memstore.New()
	require.NoError(t, err)
	store, err := hybridstore.New(cookiestore.Sealed(), server)
	require.NoError(t, err)
	return store
}

// A change is no peek; nor does a peek hide that a session has ended.
func TestPeekAndChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory(t).store}
		mw := setup{store: store}.new(t, middleware.WithEncryptor(ring(t, encrypt.GenerateKey())),
			middleware.WithRolling(time.Hour), middleware.WithCookieCache(time.Hour))
		cookie := ask(mw.Handler(count), "/").value(t)
		time.Sleep(30 * time.Minute)

		var lives time.Duration
		a := ask(mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			s.Peek()
			lives = s.Remaining()
			require.NoError(t, sessions.Commit(r.Context())) // asks the server, and gives no new copy
			increment(s)
			require.NoError(t, sessions.Commit(r.Context()))
			return nil
		}), "/", cookie)
		require.Equal(t, 30*time.Minute, lives)
		require.Equal(t, int64(2), store.saves.Load())
		require.Equal(t, int64(1), store.loads.Load())
		cookie = a.value(t)
		require.Equal(t, "3600\n", ask(mw.Remaining(), "/", cookie).body)

		asks := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			s.Peek()
			return sessions.Commit(r.Context())
		})
		a = ask(asks, "/", cookie)
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Empty(t, a.Header["Set-Cookie"])
		require.Equal(t, int64(2), store.loads.Load())
		ask(mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
			s.Destroy()
			return nil
		}), "/", cookie)
		require.Equal(t, http.StatusConflict, ask(asks, "/", cookie).StatusCode)
	})
}
