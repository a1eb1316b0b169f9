package sessionstest_test

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
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const visits = sessions.Key[int]("visits")

func TestTheExamples(t *testing.T) {
	t.Run("table", testAdd)
	t.Run("expiry", testIdle)
}

func memory(t testing.TB) stores.Store {
	store, err := memstore.New()
	require.NoError(t, err)
	return store
}

func sealing(t testing.TB) middleware.Option {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return middleware.WithEncryptor(enc)
}

// everywhere runs the test with every store that needs no server, alone, with signed
// IDs, and with a cookie cache. Redis and Firestore are in internal/integration.
func everywhere(t *testing.T, f func(*testing.T, *middleware.Middleware)) {
	signed, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	hybrid, err := hybridstore.New(cookiestore.Sealed(), memory(t))
	require.NoError(t, err)
	for name, s := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
	}{
		"memory":                  {memory(t), nil},
		"sealed":                  {cookiestore.Sealed(), []middleware.Option{sealing(t)}},
		"signed":                  {signed, nil},
		"hybrid":                  {hybrid, []middleware.Option{sealing(t)}},
		"cookie cache":            {memory(t), []middleware.Option{sealing(t), middleware.WithCookieCache(time.Minute)}},
		"autoload":                {memory(t), []middleware.Option{middleware.WithAutoload()}},
		"another name, other way": {memory(t), []middleware.Option{middleware.WithFirebaseHosting(), middleware.WithPersistentCookie(), middleware.WithCookiePath("/app/")}},
	} {
		for _, ids := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/signed IDs ", ids), func(t *testing.T) {
				opts := s.opts
				if ids {
					opts = append([]middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}, opts...)
				}
				mw, err := middleware.New(s.store, opts...)
				require.NoError(t, err)
				f(t, mw)
			})
		}
	}
}

// count adds a visit, and logs in or out where the path says so.
func count(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	switch r.URL.Path {
	case "/login":
		if err := s.Regenerate(); err != nil {
			return err
		}
	case "/logout":
		s.Destroy()
		return nil
	}
	_, err := visits.Update(s, func(n int) int { return n + 1 })
	return err
}

func requireVisits(t *testing.T, want int, s *sessions.Session) {
	t.Helper()
	n, err := visits.GetOr(s, 0)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func TestRequestAndSession(t *testing.T) {
	everywhere(t, func(t *testing.T, mw *middleware.Middleware) {
		ask := func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			mw.HandlerFunc(count).ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
			return w.Result()
		}
		for _, path := range []string{"/", "/login", "/logout"} {
			body := strings.NewReader("item=tea")
			r := httptest.NewRequest("POST", "https://example.com"+path, body)
			r.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
			require.Same(t, r, sessionstest.Request(t, mw, r, sessionstest.Set(visits, 41), sessionstest.Set(user, "ada")))
			require.Len(t, r.Cookies(), 2)
			require.Equal(t, 8, body.Len(), "the body is the handler's")
			requireVisits(t, 41, sessionstest.Session(t, mw, r, nil))

			resp := ask(r)
			s := sessionstest.Session(t, mw, r, resp)
			if path == "/logout" {
				require.True(t, s.IsNew())
				requireVisits(t, 0, s)
				continue
			}
			requireVisits(t, 42, s)
			name, err := user.Get(s)
			require.NoError(t, err)
			require.Equal(t, "ada", name)
			require.False(t, s.IsNew())
			require.Len(t, r.Cookies(), 2, "the request is as it was")
			require.NotPanics(t, func() { visits.Set(s, 99) })
			requireVisits(t, 42, sessionstest.Session(t, mw, r, resp))
		}

		// A new visitor, and a session that has nothing in it.
		r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil))
		require.Empty(t, r.Cookies())
		require.True(t, sessionstest.Session(t, mw, r, nil).IsNew())
		requireVisits(t, 1, sessionstest.Session(t, mw, r, ask(r)))

		// A second Request goes on with the same session, and may end it.
		r = sessionstest.Request(t, mw, r, sessionstest.Set(visits, 5))
		r = sessionstest.Request(t, mw, r, sessionstest.Set(user, "ada"), (*sessions.Session).Regenerate)
		require.Len(t, r.Cookies(), 1)
		requireVisits(t, 6, sessionstest.Session(t, mw, r, ask(r)))
		r = sessionstest.Request(t, mw, r, func(s *sessions.Session) error { s.Destroy(); return nil })
		require.Empty(t, r.Cookies())
	})
}

// An owner is as any other change.
func TestOwner(t *testing.T) {
	mw, err := middleware.New(memory(t), middleware.WithOwners(encrypt.GenerateKey()))
	require.NoError(t, err)
	r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil),
		func(s *sessions.Session) error { return s.SetOwner(t.Context(), "ada") },
		func(s *sessions.Session) error { return s.SetAuthenticated(time.Now()) })
	s := sessionstest.Session(t, mw, r, nil)
	require.Equal(t, "ada", s.Owner())
	require.True(t, s.AuthenticatedWithin(time.Minute))
	n, err := mw.Manager().RevokeAll(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.True(t, sessionstest.Session(t, mw, r, nil).IsNew())
}

// To look at a session is not to use it.
func TestSessionDoesNotExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched := 0
		mw, err := middleware.New(memory(t), middleware.WithRolling(time.Hour), middleware.WithTouchInterval(0),
			middleware.WithHooks(sessions.Hooks{Touched: func(context.Context, sessions.Event) { touched++ }}))
		require.NoError(t, err)
		r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil), sessionstest.Set(visits, 1))
		for i := range 6 {
			require.Equal(t, time.Hour-time.Duration(i)*10*time.Minute, sessionstest.Session(t, mw, r, nil).Remaining())
			time.Sleep(10 * time.Minute)
		}
		require.True(t, sessionstest.Session(t, mw, r, nil).IsNew())
		require.Zero(t, touched)
	})
}

// fake is a test that may fail.
type fake struct {
	testing.TB
	said string
}

func (f *fake) Helper() {}

func (f *fake) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is what f's test failed with.
func failure(t *testing.T, f func(testing.TB)) string {
	tb := &fake{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	require.NotEmpty(t, tb.said, "the test does not fail")
	return tb.said
}

type down struct{ *memstore.Store }

func (d down) Place() stores.Place { return stores.Place{Name: "memory", Server: d} }

func (down) Load(context.Context, stores.Key, stores.Freshness) (stores.Record, error) {
	return stores.Record{}, fmt.Errorf("%w: connection refused", stores.ErrUnavailable)
}

// What can't be done fails the test, and says why.
func TestWhatCantBeDone(t *testing.T) {
	quiet := middleware.WithLogger(slog.New(slog.DiscardHandler))
	get := func() *http.Request { return httptest.NewRequest("GET", "https://example.com/", nil) }
	mw, err := middleware.New(cookiestore.Sealed(), sealing(t), quiet)
	require.NoError(t, err)

	r := get()
	require.Equal(t, "sessionstest: change 2 of 2: no such user", failure(t, func(t testing.TB) {
		sessionstest.Request(t, mw, r, sessionstest.Set(visits, 1), func(*sessions.Session) error { return errors.New("no such user") })
	}))
	require.Empty(t, r.Cookies())
	require.Contains(t, failure(t, func(t testing.TB) {
		sessionstest.Request(t, mw, r, sessionstest.Set(user, strings.Repeat("x", 5000)))
	}), stores.ErrTooLarge.Error())

	skips, err := middleware.New(memory(t), middleware.WithSkip(func(*http.Request) bool { return true }))
	require.NoError(t, err)
	for _, f := range []func(testing.TB){
		func(t testing.TB) { sessionstest.Request(t, skips, get(), sessionstest.Set(visits, 1)) },
		func(t testing.TB) { sessionstest.Session(t, skips, get(), nil) },
	} {
		require.Contains(t, failure(t, f), sessions.ErrNoMiddleware.Error())
	}

	for name, opts := range map[string][]middleware.Option{"load": nil, "autoload": {middleware.WithAutoload()}} {
		mem, err := memstore.New()
		require.NoError(t, err)
		fails, err := middleware.New(down{mem}, append(opts, middleware.WithoutEncryption())...)
		require.NoError(t, err)
		r := get()
		r.Header.Set("Cookie", "__Host-Http-session="+strings.Repeat("A", 32))
		require.Contains(t, failure(t, func(t testing.TB) { sessionstest.Session(t, fails, r, nil) }), "the session can't be loaded", name)
	}
	require.Panics(t, func() {
		sessionstest.Request(t, mw, get(), func(*sessions.Session) error { panic("a change broke") })
	}, "others' panics pass")
}

// A response of a real server has its cookies as well.
func TestRealServer(t *testing.T) {
	mw, err := middleware.New(memory(t))
	require.NoError(t, err)
	server := httptest.NewTLSServer(mw.HandlerFunc(count))
	defer server.Close()
	r, err := http.NewRequest("GET", server.URL+"/login", nil)
	require.NoError(t, err)
	resp, err := server.Client().Do(sessionstest.Request(t, mw, r, sessionstest.Set(visits, 1)))
	require.NoError(t, err)
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	requireVisits(t, 2, sessionstest.Session(t, mw, r, resp))
}
