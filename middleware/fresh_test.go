package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// guarded is an application with an account that needs a fresh proof, and a login.
func guarded(mw *middleware.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", mw.Handler(count))
	mux.Handle("/account/", mw.RequireFresh(15*time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " the account")
	})))
	mux.Handle("POST /login", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := errors.Join(s.Regenerate(), s.SetAuthenticated(time.Now()), user.Set(s, "ada")); err != nil {
			return err
		}
		http.Redirect(w, r, middleware.WayBack(s, r.FormValue("next")), http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /names", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		_, err := fmt.Fprint(w, s.Names())
		return err
	}))
	return mux
}

func proving() middleware.Option { return middleware.WithProofPage("/login?again=1") }

// from makes req what a browser sends for a page.
func navigate(req *http.Request) *http.Request {
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	return req
}

func TestRequireFresh(t *testing.T) {
	for _, s := range append(setups(t), signed(t), setup{"hybrid", hybrid(t), nil, sealed(t).opts}) {
		t.Run(s.name, func(t *testing.T) {
			mw := s.new(t, proving(), silent())
			site := serve(t, mw.Handler(guarded(mw)))
			post := func(path string) answer {
				t.Helper()
				req, err := http.NewRequest("POST", site.URL+path, nil)
				require.NoError(t, err)
				return site.do(navigate(req))
			}
			page := func(path string) answer { t.Helper(); return site.do(navigate(site.request(path))) }

			a := page("/account/keys?sort=date&all")
			require.Equal(t, http.StatusSeeOther, a.StatusCode)
			require.Equal(t, "/login?again=1", a.Header.Get("Location"))
			require.NotContains(t, a.body, "the account")

			a = post("/login?next=/elsewhere")
			require.Equal(t, "/account/keys?sort=date&all", a.Header.Get("Location"))
			require.Equal(t, "GET the account", page(a.Header.Get("Location")).body)
			require.Equal(t, "POST the account", post("/account/keys").body)

			require.Equal(t, "[user]", page("/names").body, "the way back is used up")
			require.Equal(t, "/elsewhere", post("/login?next=/elsewhere").Header.Get("Location"), "once")
			require.Equal(t, "/", post("/login").Header.Get("Location"))
		})
	}
}

// What is not fresh any more, and what can't be sent anywhere.
func TestRequireFreshRefuses(t *testing.T) {
	for _, s := range append(setups(t), signed(t)) {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got error
				mw := s.new(t, proving(), middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
					got = err
					http.Error(w, "no", http.StatusForbidden)
				}))
				h := guarded(mw)
				cookie := record(h, httptest.NewRequest("POST", "https://example.com/login", nil)).value(t)
				send := func(method, path, mode string) answer {
					got = nil
					req := httptest.NewRequest(method, "https://example.com"+path, nil)
					req.RequestURI = path
					req.Header.Set("Cookie", cookieName+"="+cookie)
					if mode != "" {
						req.Header.Set("Sec-Fetch-Mode", mode)
					}
					return record(h, req)
				}
				time.Sleep(15 * time.Minute)
				require.Equal(t, "GET the account", send("GET", "/account/", "").body)
				time.Sleep(time.Millisecond)
				for _, tt := range []struct {
					method, path, mode string
					status             int
				}{
					{"GET", "/account/", "", 303},
					{"HEAD", "/account/", "", 303},
					{"GET", "/account/", "navigate", 303},
					{"GET", "/account/", "cors", 403},
					{"GET", "/account/", "same-origin", 403},
					{"GET", "/account/", "no-cors", 403},
					{"GET", "/account/", "websocket", 403},
					{"POST", "/account/", "navigate", 403},
					{"PUT", "/account/", "", 403},
					{"DELETE", "/account/", "", 403},
					{"OPTIONS", "/account/", "", 403},
				} {
					a := send(tt.method, tt.path, tt.mode)
					require.Equal(t, tt.status, a.StatusCode, tt)
					require.NotContains(t, a.body, "the account")
					if tt.status == 403 {
						require.ErrorIs(t, got, middleware.ErrNotFresh)
						require.Empty(t, a.Header["Location"])
						require.Empty(t, a.Header["Set-Cookie"], "it leaves nothing behind")
					}
				}
			})
		})
	}
	t.Run("no page", func(t *testing.T) {
		h := guarded(memory(t).new(t, silent()))
		a := record(h, navigate(httptest.NewRequest("GET", "https://example.com/account/", nil)))
		require.Equal(t, http.StatusForbidden, a.StatusCode)
		require.Empty(t, a.Header["Location"])
		require.Empty(t, a.Header["Set-Cookie"])
	})
	t.Run("the page itself", func(t *testing.T) {
		mw := memory(t).new(t, proving(), silent())
		h := mw.RequireFresh(time.Hour, count)
		require.Equal(t, http.StatusForbidden, record(h, navigate(httptest.NewRequest("GET", "https://example.com/login?again=1", nil))).StatusCode, "it would go round and round")
	})
	t.Run("skipped", func(t *testing.T) {
		mw := memory(t).new(t, proving(), silent(), middleware.WithSkip(func(*http.Request) bool { return true }))
		require.Equal(t, http.StatusInternalServerError, ask(mw.RequireFresh(time.Hour, count), "/").StatusCode)
	})
	t.Run("not configured", func(t *testing.T) {
		mw := memory(t).new(t)
		require.Panics(t, func() { mw.RequireFresh(0, count) })
		require.Panics(t, func() { mw.RequireFresh(time.Hour, nil) })
	})
}

// An end elsewhere is not overlooked for the time of a cookie cache.
func TestRequireFreshAsksTheServer(t *testing.T) {
	store := &flaky{Store: memory(t).store}
	mw := setup{store: store}.new(t, proving(), silent(), middleware.WithCookieCache(time.Hour), middleware.WithEncryptor(ring(t, encrypt.GenerateKey())))
	h := guarded(mw)
	cookie := record(h, httptest.NewRequest("POST", "https://example.com/login", nil)).value(t)
	require.Equal(t, "GET the account", ask(h, "/account/", cookie).body)
	require.Equal(t, int64(1), store.loads.Load())

	// A proof that was taken back, in another tab; and an end.
	other := record(h, httptest.NewRequest("POST", "https://example.com/login", nil)).value(t)
	ask(mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		return s.SetAuthenticated(time.Now().Add(-time.Hour))
	}), "/", other)
	require.Equal(t, http.StatusSeeOther, ask(h, "/account/", other).StatusCode)

	ask(mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		s.Destroy()
		return nil
	}), "/", cookie)
	require.Equal(t, "0", ask(mw.Handler(peek), "/", cookie).body, "others may overlook it")
	a := ask(h, "/account/", cookie)
	require.Equal(t, http.StatusSeeOther, a.StatusCode)
	require.Empty(t, a.ours())
	req := httptest.NewRequest("POST", "https://example.com/account/", nil)
	req.Header.Set("Cookie", cookieName+"="+cookie)
	require.Equal(t, http.StatusForbidden, record(h, req).StatusCode)

	store.down.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, ask(h, "/account/", cookie).StatusCode)
}

// Where RequireFresh sends somebody back is a path of this site, whatever was asked for.
func TestTheWayBackStaysHere(t *testing.T) {
	mw := memory(t).new(t, proving(), silent(), middleware.WithInsecureHTTP())
	guard := mw.RequireFresh(time.Hour, count)
	login := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		http.Redirect(w, r, middleware.WayBack(s, "/fallback"), http.StatusSeeOther)
		return nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			login.ServeHTTP(w, r)
			return
		}
		guard.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	site, err := url.Parse(server.URL)
	require.NoError(t, err)

	// raw sends a request line that no client would.
	raw := func(target, cookie string) *http.Response {
		t.Helper()
		conn, err := net.Dial("tcp", site.Host)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Mode: navigate\r\nConnection: close\r\nCookie: session=%s\r\n\r\n", target, site.Host, cookie)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp
	}
	long := strings.Repeat("a", 1100)
	for target, want := range map[string]string{
		"/":                                 "/",
		"/a/b?c=d&e=%2F%2Fevil.example":     "/a/b?c=d&e=%2F%2Fevil.example",
		"/a%2Fb%20c":                        "/a%2Fb%20c",
		"/a?next=//evil.example":            "/a?next=//evil.example",
		"http://evil.example/a?b":           "/a?b",
		"//evil.example":                    "/fallback",
		"//evil.example/a":                  "/fallback",
		"///evil.example":                   "/fallback",
		"http://evil.example//evil.example": "/fallback",
		`/\evil.example`:                    "/%5Cevil.example",
		`/\/evil.example`:                   "/%5C/evil.example",
		`/a?\`:                              "/fallback",
		"/%5Cevil.example":                  "/%5Cevil.example",
		"/%09/evil.example":                 "/%09/evil.example",
		"/.//evil.example":                  "/evil.example",
		"/a/..//evil.example":               "/evil.example",
		"/%2e%2e//evil.example":             "/%2e%2e/evil.example",
		"/" + long:                          "/fallback",
		"/?" + long:                         "/fallback",
		"http://evil.example":               "/fallback",
	} {
		first := raw("/first", "")
		require.Len(t, first.Cookies(), 1)
		cookie := first.Cookies()[0].Value
		resp := raw(target, cookie)
		require.Equal(t, http.StatusSeeOther, resp.StatusCode, target)
		require.Equal(t, "/login?again=1", resp.Header.Get("Location"), target)

		got := raw("/login", cookie).Header.Get("Location")
		require.Equal(t, want, got, target)
		u, err := site.Parse(got)
		require.NoError(t, err)
		require.Equal(t, site.Host, u.Host, target)
	}
}

// What an application may have from a form is no way to another site either; and a value
// in the session's place of the way back is looked at again.
func TestWayBackOfOthers(t *testing.T) {
	for _, hostile := range []string{
		"//evil.example", `/\evil.example`, `\\evil.example`, "https://evil.example/", "javascript:alert(1)", "evil", "",
		"/\t/evil.example", "/\n/evil.example", " /a", "/a b", "/%", "/" + strings.Repeat("a", 1024), "/a\x00", "?a", "///", "/\u007f",
	} {
		mw := memory(t).new(t)
		a := ask(mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
			none := middleware.WayBack(s, hostile)
			require.NoError(t, sessions.Key[string]("bulla.way-back").Set(s, hostile))
			fmt.Fprint(w, none, " ", middleware.WayBack(s, "/ours"))
			return nil
		}), "/")
		require.Equal(t, "/ /ours", a.body, hostile)
	}
	require.Equal(t, "/größe?ö#1", middleware.WayBack(nil, "/größe?ö#1"))
	for _, path := range []string{"", "login", "//login", `/\login`, "https://example.com/login"} {
		_, err := middleware.New(memory(t).store, middleware.WithProofPage(path))
		require.ErrorIs(t, err, sessions.ErrConfig)
		require.ErrorContains(t, err, "WithProofPage")
	}
}

// The way back is a courtesy: it fails no request, and leaves no session for a crawler.
func TestWayBackWithoutRoom(t *testing.T) {
	t.Run("cookie", func(t *testing.T) {
		s := sealed(t)
		mw := s.new(t, proving(), silent())
		h := guarded(mw)
		pad := func(n int) http.Handler {
			return mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				return text.Set(s, strings.Repeat("x", n))
			})
		}
		a := record(h, navigate(httptest.NewRequest("GET", "https://example.com/account/first", nil)))
		a = ask(pad(2600), "/", a.value(t))
		cookie := a.value(t)
		req := navigate(httptest.NewRequest("GET", "https://example.com/account/"+strings.Repeat("x", 600), nil))
		req.Header.Set("Cookie", cookieName+"="+cookie)
		a = record(h, req)
		require.Equal(t, "/login?again=1", a.Header.Get("Location"))
		require.Equal(t, "[text]", ask(h, "/names", a.value(t)).body, "neither the new way back nor the old one")
	})
	t.Run("full store", func(t *testing.T) {
		s := memory(t)
		store := &refusing{flaky: &flaky{Store: s.store}}
		mw := setup{store: store}.new(t, proving(), silent())
		a := record(guarded(mw), navigate(httptest.NewRequest("GET", "https://example.com/account/", nil)))
		require.Equal(t, http.StatusSeeOther, a.StatusCode)
		require.Empty(t, a.ours())
	})
	t.Run("crawler", func(t *testing.T) {
		s := memory(t)
		h := guarded(s.new(t, proving(), silent()))
		for range 3 {
			a := ask(h, "/account/")
			require.Equal(t, http.StatusSeeOther, a.StatusCode)
			require.Empty(t, a.ours())
		}
		require.Zero(t, s.mem.Len())
		cookie := ask(h, "/").value(t)
		ask(h, "/account/", cookie)
		require.Equal(t, "[bulla.way-back visits]", ask(h, "/names", cookie).body)
	})
	t.Run("prefix", func(t *testing.T) {
		mw := memory(t).new(t, proving(), silent())
		h := http.StripPrefix("/app", mw.Handler(guarded(mw)))
		a := record(h, navigate(httptest.NewRequest("GET", "https://example.com/app/account/keys", nil)))
		require.Equal(t, http.StatusSeeOther, a.StatusCode)
		req := httptest.NewRequest("POST", "https://example.com/app/login", nil)
		req.Header.Set("Cookie", cookieName+"="+a.value(t))
		require.Equal(t, "/app/account/keys", record(h, req).Header.Get("Location"))
	})
}

// refusing has no room for new sessions.
type refusing struct{ *flaky }

func (r *refusing) Place() stores.Place { return between(r.Store, r) }

func (r *refusing) Save(context.Context, stores.Key, stores.Record) (stores.Revision, error) {
	return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, stores.ErrFull)
}
