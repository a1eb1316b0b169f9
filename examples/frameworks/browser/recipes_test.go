package browser

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/bulla-go/bulla/examples/frameworks/recipes"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// world is several sites at one port of this machine, over TLS.
type world struct {
	port  string
	hosts map[string]http.Handler

	mu      sync.Mutex
	carried map[string]bool // whether the last such request came with a session's cookie, by method, host and path
}

func newWorld(t *testing.T) *world {
	w := &world{hosts: map[string]http.Handler{}, carried: map[string]bool{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		w.mu.Lock()
		w.carried[r.Method+" "+host+r.URL.Path] = strings.Contains(r.Header.Get("Cookie"), "session=")
		w.mu.Unlock()
		if h := w.hosts[host]; h != nil {
			h.ServeHTTP(rw, r)
			return
		}
		fmt.Fprintf(rw, "<!doctype html><title>%s</title><p>An empty page of %[1]s</p>", host)
	}))
	addr := server.Listener.Addr().String()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the test's own server, by any name
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	server.Config.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), oauth2.HTTPClient, client)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(client.CloseIdleConnections)
	_, w.port, _ = net.SplitHostPort(addr)
	return w
}

func (w *world) url(host, path string) string { return "https://" + host + ":" + w.port + path }

// came tells whether the last such request, as "POST app.example/callback", had the
// cookie.
func (w *world) came(t *testing.T, request string) bool {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	with, ok := w.carried[request]
	require.True(t, ok, "%s did not arrive", request)
	return with
}

func inMemory(t *testing.T, options ...middleware.Option) *middleware.Middleware {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store, options...)
	require.NoError(t, err)
	return mw
}

// provider is an OAuth provider with one user, who must click on its page.
func provider(t *testing.T) http.Handler {
	type grant struct{ challenge, nonce string }
	var mu sync.Mutex
	codes := map[string]grant{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code := rand.Text()
		mu.Lock()
		codes[code] = grant{q.Get("code_challenge"), q.Get("nonce")}
		mu.Unlock()
		method := "get"
		if q.Get("response_mode") == "form_post" {
			method = "post"
		}
		fmt.Fprintf(w, `<!doctype html><title>Provider</title><form method="%s" action="%s">
<input type="hidden" name="code" value="%s"><input type="hidden" name="state" value="%s"><button id="allow">Allow</button></form>`,
			method, q.Get("redirect_uri"), code, q.Get("state"))
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		g, ok := codes[r.FormValue("code")]
		delete(codes, r.FormValue("code"))
		mu.Unlock()
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"access_token": "ada's", "token_type": "Bearer", "nonce": g.nonce})
	})
	return mux
}

// loginAt puts a provider and an application with its login into the world.
func loginAt(t *testing.T, v *world, formPost bool, options ...middleware.Option) {
	mw := inMemory(t, options...)
	l := &recipes.Login{
		OAuth: oauth2.Config{
			ClientID: "app", RedirectURL: v.url("app.example", "/callback"),
			Endpoint: oauth2.Endpoint{AuthURL: v.url("provider.test.example", "/authorize"), TokenURL: v.url("provider.test.example", "/token"), AuthStyle: oauth2.AuthStyleInParams},
		},
		User: func(_ context.Context, token *oauth2.Token, nonce string) (string, error) {
			if token.Extra("nonce") != nonce {
				return "", errors.New("the nonce is another")
			}
			return strings.TrimSuffix(token.AccessToken, "'s"), nil
		},
	}
	pages := l.Handler(mw)
	if formPost {
		l.OAuth.Endpoint.AuthURL += "?response_mode=form_post"
		var err error
		pages, err = l.FormPostHandler(mw)
		require.NoError(t, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		name, err := user.GetOr(s, "nobody")
		fmt.Fprintf(w, `<!doctype html><title>App</title><p>Hello %s, %v</p><form method="post" action="/login"><button id="login">Log in</button></form>`, name, s.Names())
		return err
	}))
	v.hosts["app.example"], v.hosts["provider.test.example"] = mux, provider(t)
}

// TestOIDC logs in by the code flow: the answer is a link from the provider's page.
func TestOIDC(t *testing.T) {
	ctx := chromium(t)
	t.Run("lax", func(t *testing.T) {
		b, v := tab{t, ctx}, newWorld(t)
		loginAt(t, v, false)
		home := v.url("app.example", "/")
		require.Contains(t, b.visit(home), "Hello nobody, []")
		// A login in another tab takes this one's place, which is refused then, and
		// takes nothing with it.
		b.submit("#login")
		first := b.script(`document.forms[0].elements.state.value`)
		b.visit(home)
		b.submit("#login")
		before, again := b.cookie(home).Value, b.script("location.href")
		require.Contains(t, b.visit(v.url("app.example", "/callback?code=another&state="+first)), "not begun here")
		b.visit(again)
		require.Contains(t, b.submit("#allow"), "Hello ada, [user]", "nothing of the login is left")
		require.True(t, v.came(t, "GET app.example/callback"), "SameSite=Lax comes with a link")
		require.NotEqual(t, before, b.cookie(home).Value)

		// Another's answer, which somebody has the user follow, logs nobody in.
		require.Contains(t, b.visit(v.url("app.example", "/callback?state=another&code=another")), "not begun here")
		require.Contains(t, b.visit(v.url("app.example", "/callback?state=&code=another")), "not begun here")
		require.Contains(t, b.visit(home), "Hello ada")
	})
	t.Run("strict", func(t *testing.T) {
		b, v := tab{t, ctx}, newWorld(t)
		loginAt(t, v, false, middleware.WithSameSite(http.SameSiteStrictMode))
		b.visit(v.url("app.example", "/"))
		b.submit("#login")
		require.Contains(t, b.submit("#allow"), "not begun here")
		require.False(t, v.came(t, "GET app.example/callback"))
	})
}

// TestFormPost logs in with a provider whose answer is a form.
func TestFormPost(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	loginAt(t, v, true)
	home := v.url("app.example", "/")
	b.visit(home)
	b.submit("#login")
	before := b.cookie(home).Value
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS("#allow")), chromedp.WaitVisible(chromedp.CSS("#login"))))
	require.Contains(t, b.text(), "Hello ada, [user]")
	require.False(t, v.came(t, "POST app.example/callback"), "SameSite=Lax does not come with another site's form")
	require.True(t, v.came(t, "POST app.example/callback/same-site"))
	require.NotEqual(t, before, b.cookie(home).Value)
}

// callFrom has a script of a page call an API, and returns what it reads, or "refused".
func callFrom(b tab, page, api string) string {
	b.t.Helper()
	b.visit(page)
	return b.script(`fetch("` + api + `", {method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: "{}"})
		.then(r => r.text(), () => "refused")`)
}

// apiAt puts an API that counts into the world, for pages of https://app.example.
func apiAt(t *testing.T, v *world, host string, options ...middleware.Option) string {
	mw := inMemory(t, options...)
	h, err := recipes.API(mw, v.url("app.example", ""), mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		n, err := visits.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(w, "call ", n)
		return err
	}))
	require.NoError(t, err)
	v.hosts[host] = h
	return v.url(host, "/")
}

// TestAPIOnASibling has an API on another host of the same site.
func TestAPIOnASibling(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	api := apiAt(t, v, "api.app.example")
	page := v.url("app.example", "/")
	require.Equal(t, "call 1", callFrom(b, page, api))
	require.Equal(t, "call 2", callFrom(b, page, api), "SameSite=Lax is enough")
	require.Empty(t, b.cookies(page), "the page's host does not get it")
	require.Equal(t, "refused", callFrom(b, v.url("evil.app.example", "/"), api))
	require.Equal(t, "refused", callFrom(b, v.url("evil.example", "/"), api))
	require.Equal(t, "call 3", callFrom(b, page, api), "and they have changed nothing")
}

// TestAPIOnAnotherSite has an API on another site, with each SameSite.
func TestAPIOnAnotherSite(t *testing.T) {
	ctx := chromium(t)
	for name, test := range map[string]struct {
		options []middleware.Option
		second  string
	}{
		"lax":         {nil, "call 1"},
		"none":        {[]middleware.Option{middleware.WithSameSite(http.SameSiteNoneMode)}, "call 1"},
		"partitioned": {[]middleware.Option{middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()}, "call 2"},
	} {
		t.Run(name, func(t *testing.T) {
			b, v := tab{t, ctx}, newWorld(t)
			api := apiAt(t, v, "api.other.example", test.options...)
			page := v.url("app.example", "/")
			require.Equal(t, "call 1", callFrom(b, page, api))
			require.Equal(t, test.second, callFrom(b, page, api))
		})
	}
}

// TestCrossOrigin has another site's page post a form.
func TestCrossOrigin(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	// Sent with every request, so that nothing but the check is in its way.
	mw := inMemory(t, middleware.WithSameSite(http.SameSiteNoneMode))
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>App</title><p>`, r.Method, `</p><form method="post" action="/"><button id="go">Go</button></form>`)
	})
	v.hosts["app.example"] = recipes.Protected(mw, mux)
	b.visit(v.url("app.example", "/"))
	require.Contains(t, b.submit("#go"), "POST")
	for _, from := range []string{"evil.example", "evil.app.example"} {
		b.visit(v.url(from, "/"))
		b.script(`document.body.innerHTML = '<form method="post" action="` + v.url("app.example", "/") + `"><button id="go">go</button></form>'`)
		require.Contains(t, b.submit("#go"), "cross-origin request detected", from)
	}
}

// TestClearSiteData logs out, and has the browser forget what the pages have stored.
func TestClearSiteData(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	mw := inMemory(t)
	mux := http.NewServeMux()
	mux.Handle("POST /logout", mw.HandlerFunc(recipes.Logout))
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		n, err := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, `<!doctype html><title>App</title><p>Visit %d</p><form method="post" action="/logout"><button id="logout">Log out</button></form>`, n)
		return err
	}))
	v.hosts["app.example"] = mux
	home := v.url("app.example", "/")
	b.visit(home)
	require.Contains(t, b.visit(home), "Visit 2")
	b.script(`localStorage.setItem("draft", "secret"); document.cookie = "theme=dark; Path=/; Secure"; ""`)
	require.Contains(t, b.submit("#logout"), "Visit 1")
	require.Equal(t, "none", b.script(`localStorage.getItem("draft") ?? "none"`))
	require.Equal(t, "theme=dark", b.script("document.cookie"), "other cookies stay")

	// "cookies" would take those of the whole site, other hosts' too.
	v.hosts["www.app.example"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Clear-Site-Data", `"cookies"`)
		fmt.Fprint(w, "<!doctype html><p>Cleared</p>")
	})
	require.NotEmpty(t, b.cookies(home))
	b.visit(v.url("www.app.example", "/"))
	require.Empty(t, b.cookies(home))
}

// TestIdleWarning leaves a page alone, stays, and leaves it alone again.
func TestIdleWarning(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	const idle, before = 12 * time.Second, 6 // so long that a busy machine is in time to stay
	v.hosts["app.example"] = recipes.Idle(inMemory(t, middleware.WithRolling(idle), middleware.WithTouchInterval(0)), before)
	began := time.Now()
	b.visit(v.url("app.example", "/"))
	require.Equal(t, "true", b.script(`String(warning.hidden)`))
	warned := func() bool { return b.script(`String(warning.hidden)`) == "false" }
	require.Eventually(t, warned, 5*idle, idle/30)
	require.Greater(t, time.Since(began), time.Second, "not at once: there are whole seconds, and the page took some time")
	stayed := time.Now()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS("#stay"))))
	require.Eventually(t, func() bool { return !warned() }, idle, idle/30, "who stays is not warned")
	require.Eventually(t, func() bool { return strings.Contains(b.text(), "Signed out") }, 5*idle, idle/30)
	require.Greater(t, time.Since(stayed), idle/2, "the page's questions have not prolonged it, and not shortened it")
}
