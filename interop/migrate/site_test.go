package migrate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const user = sessions.Key[string]("user")

var errDown = errors.New("connection refused")

// elsewhere is another library's store: users by the cookie's value.
type elsewhere struct {
	sync.Mutex
	users   map[string]string
	ends    map[string]time.Time
	began   time.Time
	reads   int
	retires int
	down    bool // everything fails
	stuck   bool // Retire fails
}

func (e *elsewhere) login(value, name string) {
	e.Lock()
	defer e.Unlock()
	if e.users == nil {
		e.users, e.ends = make(map[string]string), make(map[string]time.Time)
	}
	e.users[value], e.ends[value] = name, time.Now().Add(24*time.Hour)
}

func (e *elsewhere) read(_ context.Context, value string) (string, error) {
	e.Lock()
	defer e.Unlock()
	e.reads++
	switch name, ok := e.users[value]; {
	case e.down:
		return "", errDown
	case !ok || !time.Now().Before(e.ends[value]):
		return "", fmt.Errorf("%w: unknown", migrate.ErrNone)
	default:
		return name, nil
	}
}

func (e *elsewhere) retire(_ context.Context, value string) error {
	e.Lock()
	defer e.Unlock()
	e.retires++
	if e.down || e.stuck {
		return errDown
	}
	if end := time.Now().Add(migrate.Grace); end.Before(e.ends[value]) {
		e.ends[value] = end
	}
	return nil
}

// adopt keeps the user's name. A session of "" is an anonymous one.
func (e *elsewhere) adopt(_ context.Context, s *sessions.Session, name string) error {
	if name == "" {
		return migrate.ErrNone
	}
	if !e.began.IsZero() {
		if err := s.BeganAt(e.began); err != nil {
			return err
		}
	}
	return user.Set(s, name)
}

func (e *elsewhere) source() migrate.Source[string] {
	return migrate.Source[string]{
		Cookie: &http.Cookie{Name: "old", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
		Read:   e.read, Adopt: e.adopt, Retire: e.retire,
		Until: time.Now().Add(24 * time.Hour),
	}
}

// site is an application that moves its users, and whoever talks to it.
type site struct {
	t   *testing.T
	old *elsewhere
	mw  *middleware.Middleware
	h   http.Handler
}

func newSite(t *testing.T, store stores.Store, more ...middleware.Option) *site {
	s := &site{t: t, old: new(elsewhere)}
	s.mw = newMiddleware(t, store, more...)
	s.with(s.old.source())
	return s
}

func newMiddleware(t testing.TB, store stores.Store, more ...middleware.Option) *middleware.Middleware {
	mw, err := middleware.New(store, append([]middleware.Option{middleware.WithLifetime(10 * time.Hour)}, more...)...)
	require.NoError(t, err)
	return mw
}

// with lets the site move the sessions of these sources.
func (s *site) with(sources ...migrate.Source[string]) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { whoami(w, r) })
	mux.HandleFunc("GET /app/", func(w http.ResponseWriter, r *http.Request) {
		session, err := sessions.FromContext(r.Context())
		require.NoError(s.t, err)
		name, err := user.GetOr(session, "nobody")
		require.NoError(s.t, err)
		io.WriteString(w, name)
	})
	mux.HandleFunc("GET /static", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "static") })
	mux.Handle("POST /login", s.mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		if err := session.Regenerate(); err != nil {
			return err
		}
		return user.Set(session, r.FormValue("user"))
	}))
	mux.Handle("POST /logout", s.mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		session.Destroy()
		return nil
	}))
	mux.Handle("GET /fails", s.mw.HandlerFunc(func(http.ResponseWriter, *http.Request, *sessions.Session) error {
		return errors.New("a template failed")
	}))
	mux.HandleFunc("GET /panics", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.h = mux
	for _, src := range sources {
		m, err := migrate.New(s.mw, src)
		require.NoError(s.t, err)
		s.h = m.Handler(s.h)
	}
}

func whoami(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err == nil {
		var name string
		name, err = user.GetOr(session, "nobody")
		io.WriteString(w, name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// RoundTrip hands requests over without a network, so that the time is the test's.
func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.WithContext(r.Context())
	r.TLS = new(tls.ConnectionState) // the URL says https
	func() {
		defer func() {
			if p := recover(); p != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		s.h.ServeHTTP(w, r)
	}()
	return w.Result(), nil
}

const base = "https://app.example"

// browser has a cookie jar.
type browser struct {
	*http.Client
	s *site
}

// browser returns a browser with these cookies, as name and value in turn.
func (s *site) browser(cookies ...string) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	b := &browser{&http.Client{Transport: s, Jar: jar}, s}
	for i := 0; i < len(cookies); i += 2 {
		b.set(cookies[i], cookies[i+1])
	}
	return b
}

func (b *browser) set(name, value string) {
	u, _ := url.Parse(base)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// has returns the value of a cookie that the browser has, or "".
func (b *browser) has(name string) string {
	u, _ := url.Parse(base + "/")
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

const ours = "__Host-Http-session"

func (b *browser) get(path string) (*http.Response, string) {
	resp, err := b.Get(base + path)
	require.NoError(b.s.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.s.t, err)
	return resp, string(body)
}

// is checks who the site takes the browser's user for.
func (b *browser) is(name string) *http.Response {
	b.s.t.Helper()
	resp, body := b.get("/")
	require.Equal(b.s.t, http.StatusOK, resp.StatusCode)
	require.Equal(b.s.t, name, body)
	return resp
}

func (b *browser) post(path string, form url.Values) {
	b.s.t.Helper()
	resp, err := b.PostForm(base+path, form)
	require.NoError(b.s.t, err)
	require.Equal(b.s.t, http.StatusOK, resp.StatusCode)
}

// eachStore runs f on a site with records on a server, one with records in the cookie,
// and one with copies in the cookie.
func eachStore(t *testing.T, f func(*testing.T, *site)) {
	for name, open := range map[string]func(t *testing.T) *site{
		"server": func(t *testing.T) *site { return newSite(t, newMemory(t)) },
		"cookie": func(t *testing.T) *site {
			return newSite(t, cookiestore.Sealed(), middleware.WithEncryptor(newEncryptor(t)))
		},
		"cache": func(t *testing.T) *site {
			return newSite(t, newMemory(t), middleware.WithEncryptor(newEncryptor(t)), middleware.WithCookieCache(time.Minute))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, open(t)) })
		})
	}
}

func newMemory(t testing.TB) stores.Store {
	st, err := memstore.New()
	require.NoError(t, err)
	return st
}

func newEncryptor(t testing.TB) encrypt.Encryptor {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return enc
}
