package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// loadedAt tells whether a request with a cookie has its session before its
// handler runs.
func loadedAt(t *testing.T, mw *middleware.Middleware, method, target, cookie string) bool {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	if cookie != "" {
		req.Header.Set("Cookie", cookieName+"="+cookie)
	}
	loaded := false
	record(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.FromContext(r.Context())
		if loaded = err == nil; loaded {
			_, err = visits.Get(s)
			if cookie != "" && err != nil {
				t.Errorf("%s %s: not the client's session: %v", method, target, err)
			}
			return
		}
		if !errors.Is(err, sessions.ErrNotLoaded) {
			t.Errorf("%s %s: %v", method, target, err)
		}
	})), req)
	return loaded
}

func TestAutoload(t *testing.T) {
	re := regexp.MustCompile
	for _, tt := range []struct {
		name string
		opt  middleware.Option
		yes  []string // "GET /path"
		no   []string
	}{
		{"no pattern is every path", middleware.WithAutoload(),
			[]string{"GET /", "POST /x/y", "DELETE //x"}, nil},
		{"exact", middleware.WithAutoload("/admin"),
			[]string{"GET /admin", "POST /admin", "GET /admin?q=1"},
			[]string{"GET /administrator", "GET /admin/", "GET /admin/x", "GET /x/admin", "GET /", "GET //admin"}},
		{"subtree", middleware.WithAutoload("/app/"),
			[]string{"GET /app/", "GET /app/x/y"},
			[]string{"GET /app", "GET /application", "GET /x/app/", "GET /app/../x", "GET /app//x"}},
		{"method and rest", middleware.WithAutoload("GET /admin/{rest...}"),
			[]string{"GET /admin/", "GET /admin/x/y", "HEAD /admin/x"},
			[]string{"POST /admin/x", "GET /admin", "GET /administrator/x"}},
		{"exact end and wildcard", middleware.WithAutoload("/{$}", "/user/{id}"),
			[]string{"GET /", "GET /user/7"},
			[]string{"GET /x", "GET /user/7/x", "GET /user/"}},
		{"host", middleware.WithAutoload("admin.example.com/"),
			[]string{"GET https://admin.example.com/x"},
			[]string{"GET https://example.com/x"}},
		{"regexp", middleware.WithAutoloadRegexp(re(`/admin`), re(`/a\d+`)),
			[]string{"GET /admin", "GET /a17"},
			[]string{"GET /administrator", "GET /x/admin", "GET /a17b", "GET /admin/"}},
		{"regexp, alternatives", middleware.WithAutoloadRegexp(re(`/a|/b`)),
			[]string{"GET /a", "GET /b"},
			[]string{"GET /ab", "GET /a/x", "GET /x/b"}},
		{"regexp, multi-line", middleware.WithAutoloadRegexp(re(`(?m)^/a$`)),
			[]string{"GET /a"},
			[]string{"GET /a%0ab", "GET /x%0a/a"}},
		{"regexp, POSIX", middleware.WithAutoloadRegexp(regexp.MustCompilePOSIX(`/a(b|bc)`)),
			[]string{"GET /ab", "GET /abc"},
			[]string{"GET /abcd"}},
		{"function", middleware.WithAutoloadFunc(func(r *http.Request) bool { return r.Header.Get("X") == "" && r.Method == "PUT" }),
			[]string{"PUT /"},
			[]string{"GET /"}},
		{"nothing asked for", middleware.WithAutoloadRegexp(), nil, []string{"GET /"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := memory(t)
			cookie := visited(t, mem.new(t).Handler(count))
			store := &flaky{Store: mem.store}
			mw := setup{store: store}.new(t, middleware.WithoutEncryption(), tt.opt)
			split := regexp.MustCompile(" ").Split
			for _, list := range []struct {
				requests []string
				want     bool
			}{{tt.yes, true}, {tt.no, false}} {
				for _, request := range list.requests {
					part := split(request, 2)
					store.loads.Store(0)
					require.Equal(t, list.want, loadedAt(t, mw, part[0], part[1], cookie), request)
					want := int64(0)
					if list.want {
						want = 1
					}
					require.Equal(t, want, store.loads.Load(), "store calls of %s", request)

					// Without our cookie there is nothing to load, and the
					// handler finds a new session all the same.
					store.loads.Store(0)
					require.Equal(t, list.want, loadedAt(t, mw, part[0], part[1], ""), request)
					require.Zero(t, store.calls())
				}
			}
		})
	}
}

// Options add up.
func TestAutoloadUnion(t *testing.T) {
	mem := memory(t)
	mw := mem.new(t, middleware.WithAutoload("/a"), middleware.WithAutoload("/b"),
		middleware.WithAutoloadRegexp(regexp.MustCompile("/c")), middleware.WithAutoloadFunc(func(r *http.Request) bool { return r.URL.Path == "/d" }))
	cookie := visited(t, mem.new(t).Handler(count))
	for path, want := range map[string]bool{"/a": true, "/b": true, "/c": true, "/d": true, "/e": false} {
		require.Equal(t, want, loadedAt(t, mw, "GET", path, cookie), path)
	}
}

// A new session from FromContext is the request's session: what is set in it is
// committed.
func TestFromContextWithoutCookie(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t, middleware.WithAutoload("/app/"))
		a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.FromContext(r.Context())
			require.NoError(t, err)
			require.True(t, s.IsNew())
			again, err := sessions.Load(r.Context())
			require.NoError(t, err)
			require.Same(t, s, again)
			increment(s)
		})), "/app/x")
		require.Equal(t, "1", ask(mw.Handler(peek), "/app/x", a.value(t)).body)
	}
}

func TestNotLoadedAndNoMiddleware(t *testing.T) {
	_, err := sessions.FromContext(t.Context())
	require.ErrorIs(t, err, sessions.ErrNoMiddleware)
	_, err = sessions.Load(t.Context())
	require.ErrorIs(t, err, sessions.ErrNoMiddleware)
	require.ErrorIs(t, sessions.Commit(t.Context()), sessions.ErrNoMiddleware)

	ask(memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.FromContext(r.Context())
		require.ErrorIs(t, err, sessions.ErrNotLoaded)
		require.Nil(t, s)
		_, err = visits.Get(s)
		require.ErrorIs(t, err, sessions.ErrNotLoaded)
		require.NoError(t, sessions.Commit(r.Context()))
		loaded, err := sessions.Load(r.Context())
		require.NoError(t, err)
		s, err = sessions.FromContext(r.Context())
		require.NoError(t, err)
		require.Same(t, loaded, s)
	})), "/")
}

func TestSkip(t *testing.T) {
	mem := memory(t)
	cookie := visited(t, mem.new(t).Handler(count))
	header := func(name string, values ...string) http.Header { return http.Header{name: values} }
	for _, tt := range []struct {
		name   string
		opt    middleware.Option
		header http.Header
		skips  bool
	}{
		{"function", middleware.WithSkip(func(r *http.Request) bool { return r.URL.Path == "/healthz" }), nil, true},
		{"header", middleware.WithSkipHeader("X-Probe"), header("X-Probe", "anything"), true},
		{"header, empty", middleware.WithSkipHeader("X-Probe"), header("X-Probe", ""), true},
		{"header in another case", middleware.WithSkipHeader("x-probe"), header("X-Probe", "1"), true},
		{"no header", middleware.WithSkipHeader("X-Probe"), nil, false},
		{"value", middleware.WithSkipHeader("X-Probe", "1", "2"), header("X-Probe", "2"), true},
		{"one of several lines", middleware.WithSkipHeader("X-Probe", "1"), header("X-Probe", "0", "1"), true},
		{"another value", middleware.WithSkipHeader("X-Probe", "1"), header("X-Probe", "11"), false},
		{"no value", middleware.WithSkipHeader("X-Probe", "1"), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &flaky{Store: mem.store}
			mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithAutoload(), tt.opt)
			req := httptest.NewRequest("GET", "/healthz", nil)
			req.Header.Set("Cookie", cookieName+"="+cookie)
			for name, values := range tt.header {
				req.Header[name] = values
			}
			a := record(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := sessions.Load(r.Context())
				if tt.skips {
					require.ErrorIs(t, err, sessions.ErrNoMiddleware)
					require.Same(t, req, r, "the request is handed on as it is")
					require.IsType(t, &httptest.ResponseRecorder{}, w)
				} else {
					require.NoError(t, err)
				}
			})), req)
			require.Empty(t, a.ours())
			require.Equal(t, tt.skips, store.calls() == 0)
		})
	}
}

// The store is asked once, however the session is reached.
func TestLoadedOnce(t *testing.T) {
	mem := memory(t)
	cookie := visited(t, mem.new(t).Handler(count))
	store := &flaky{Store: mem.store}
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithAutoload())
	ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			require.Equal(t, session(r).ID(), session(r).ID())
		}
	})), "/", cookie)
	require.EqualValues(t, 1, store.calls())
}
