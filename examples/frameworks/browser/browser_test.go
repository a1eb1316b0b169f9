package browser

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// TestLoginLogout runs the way of a session through a browser, for every kind of
// cookie that the options make.
func TestLoginLogout(t *testing.T) {
	ctx := chromium(t)
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	sealed := middleware.WithEncryptor(enc)

	for name, test := range map[string]struct {
		scheme, host, path string
		options            []middleware.Option
		inCookie           bool
		cookie             string
		sameSite           network.CookieSameSite
		insecure, readable bool
	}{
		"http://localhost": {scheme: "http", host: "localhost"},
		"https":            {scheme: "https", host: "app.example"},
		"encrypted cookie": {scheme: "http", host: "localhost", inCookie: true, options: []middleware.Option{sealed}},
		"persistent":       {scheme: "https", host: "app.example", options: []middleware.Option{middleware.WithPersistentCookie()}},
		"path":             {scheme: "https", host: "app.example", path: "/app/", cookie: "__Secure-session", options: []middleware.Option{middleware.WithCookiePath("/app")}},
		"domain":           {scheme: "https", host: "www.app.example", cookie: "__Secure-session", options: []middleware.Option{middleware.WithCookieDomain("app.example")}},
		"__Http- and path": {scheme: "https", host: "app.example", path: "/app/", cookie: "__Http-session", options: []middleware.Option{middleware.WithCookiePath("/app"), middleware.WithCookieName("__Http-session")}},
		"strict":           {scheme: "https", host: "app.example", sameSite: network.CookieSameSiteStrict, options: []middleware.Option{middleware.WithSameSite(http.SameSiteStrictMode)}},
		"none":             {scheme: "https", host: "app.example", sameSite: network.CookieSameSiteNone, options: []middleware.Option{middleware.WithSameSite(http.SameSiteNoneMode)}},
		"partitioned":      {scheme: "https", host: "app.example", sameSite: network.CookieSameSiteNone, options: []middleware.Option{middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()}},
		"Firebase Hosting": {scheme: "https", host: "app.example", cookie: "__session", options: []middleware.Option{middleware.WithFirebaseHosting()}},
		"signed IDs":       {scheme: "http", host: "localhost", options: []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		"insecure HTTP":    {scheme: "http", host: "app.example", cookie: "session", insecure: true, options: []middleware.Option{middleware.WithInsecureHTTP()}},
		"readable":         {scheme: "http", host: "localhost", cookie: "__Host-session", readable: true, options: []middleware.Option{middleware.WithInsecureScriptAccess()}},
	} {
		t.Run(name, func(t *testing.T) {
			b := tab{t, ctx}
			path := test.path
			if path == "" {
				path = "/"
			}
			var v *site
			if test.inCookie {
				v = serve(t, test.scheme, path, cookiestore.Sealed(), test.options...)
			} else {
				v = serve(t, test.scheme, path, nil, test.options...)
			}
			home := v.url(test.host, path)

			require.Contains(t, b.visit(home), "Visit 1 by nobody")
			first := b.cookie(home)
			require.Equal(t, orElse(test.cookie, "__Host-Http-session"), first.Name)
			require.Equal(t, !test.insecure, first.Secure)
			require.Equal(t, !test.readable, first.HTTPOnly)
			require.Equal(t, orElse(test.sameSite, network.CookieSameSiteLax), first.SameSite)
			script := b.script("document.cookie")
			require.Equal(t, test.readable, strings.Contains(script, first.Name), "document.cookie")
			require.Contains(t, b.visit(home), "Visit 2 by nobody")

			require.Contains(t, b.submit("#login"), "Visit 3 by ada")
			second := b.cookie(home)
			require.NotEqual(t, first.Value, second.Value, "the login gives a new token")

			require.Contains(t, b.submit("#logout"), "Bye")
			require.Empty(t, b.cookies(home), "the browser has deleted the cookie")
			require.Contains(t, b.visit(home), "Visit 1 by nobody")
			require.Contains(t, b.submit("#logout"), "Bye")
		})
	}
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// TestSecureNeedsTLS shows that http://localhost is the exception.
func TestSecureNeedsTLS(t *testing.T) {
	b := tab{t, chromium(t)}
	v := serve(t, "http", "/", nil)
	home := v.url("app.example", "/")
	require.Contains(t, b.visit(home), "Visit 1")
	require.Empty(t, b.cookies(home))
	require.Contains(t, b.visit(home), "Visit 1")
}

func TestIdleExpiry(t *testing.T) {
	b := tab{t, chromium(t)}
	const idle = 4 * time.Second // a busy machine's browser takes its time between two visits
	v := serve(t, "http", "/", nil,
		middleware.WithRolling(idle), middleware.WithPersistentCookie(), middleware.WithTouchInterval(0))
	home := v.url("localhost", "/")

	// In use the session outlives its idle time.
	began := time.Now()
	visits := 0
	for tick := time.Tick(idle / 8); time.Since(began) < idle*5/4; <-tick {
		b.visit(home)
		visits++
	}
	require.Greater(t, visits, 3)
	require.NotContains(t, b.visit(home), "Visit 1 ", "use keeps the session")
	token := b.cookie(home)

	require.InDelta(t, began.Add(30*24*time.Hour).Unix(), token.Expires, 60, "the browser has it until the absolute end")

	// Idle it ends, on the server.
	time.Sleep(idle * 5 / 4)
	require.Equal(t, token.Value, b.cookie(home).Value)
	require.Contains(t, b.visit(home), "Visit 1 ")
	require.NotEqual(t, token.Value, b.cookie(home).Value)

	r, err := http.NewRequest(http.MethodGet, home, nil)
	require.NoError(t, err)
	r.AddCookie(&http.Cookie{Name: token.Name, Value: token.Value})
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "Visit 1 ", "who kept the cookie has nothing")
}

// TestScripts has scripts try to read and to plant the cookie.
func TestScripts(t *testing.T) {
	b := tab{t, chromium(t)}
	v := serve(t, "https", "/", nil)
	home := v.url("app.example", "/")
	require.Contains(t, b.visit(home), "Visit 1")
	token := b.cookie(home)
	require.True(t, token.HTTPOnly)
	require.Empty(t, b.script("document.cookie"))

	// HttpOnly also keeps the page's own scripts from overwriting it.
	require.Empty(t, b.script(`document.cookie = "__Host-Http-session=planted; Path=/; Secure"; document.cookie`))
	require.Equal(t, token.Value, b.cookie(home).Value)

	// Nor can they plant one where there is none yet, as the page of /bye has
	// it: that is what "Http" in the name adds.
	other := v.url("other.example", "/bye")
	b.visit(other)
	require.Empty(t, b.script(`document.cookie = "__Host-Http-session=planted; Path=/; Secure"; document.cookie`))
	require.Equal(t, "__Host-session=planted", b.script(`document.cookie = "__Host-session=planted; Path=/; Secure"; document.cookie`),
		"the same with __Host- alone, to show that the name is what stops it")

	// __Host- keeps a sibling from planting one for everybody.
	sibling := v.url("evil.app.example", "/bye")
	b.visit(sibling)
	require.Empty(t, b.script(`document.cookie = "__Host-Http-session=planted; Path=/; Secure; Domain=app.example"; document.cookie`))
	require.Equal(t, "harmless=1", b.script(`document.cookie = "harmless=1; Path=/; Secure; Domain=app.example"; document.cookie`),
		"the same without the prefix, to show that the name is what stops it")
	for _, c := range b.cookies(home) {
		require.NotEqual(t, "planted", c.Value)
	}
	require.Contains(t, b.visit(home), "Visit 2")
}

// TestSameSite has another site send the user here in every way.
func TestSameSite(t *testing.T) {
	ctx := chromium(t)
	for name, test := range map[string]struct {
		mode       http.SameSite
		link, post bool // carry the cookie
	}{
		"lax":    {http.SameSiteLaxMode, true, false},
		"strict": {http.SameSiteStrictMode, false, false},
		"none":   {http.SameSiteNoneMode, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := tab{t, ctx}
			v := serve(t, "https", "/", nil, middleware.WithSameSite(test.mode))
			home, bye, logout := v.url("app.example", "/"), v.url("app.example", "/bye"), v.url("app.example", "/logout")
			elsewhere := v.url("other.example", "/bye")
			require.Contains(t, b.visit(home), "Visit 1")
			require.Contains(t, b.submit("#login"), "Visit 2 by ada")

			b.visit(elsewhere)
			b.script(`document.body.innerHTML = '<a id="go" href="` + bye + `">go</a>'`)
			require.Equal(t, test.link, strings.Contains(b.submit("#go"), "ada"), "a link")
			require.Equal(t, test.link, v.carried(t, "GET "+bye))

			if test.mode != http.SameSiteNoneMode { // there it is the browser's choice
				b.visit(elsewhere)
				b.script(`fetch("` + bye + `", {mode: "no-cors", credentials: "include"}).then(() => "done")`)
				require.False(t, v.carried(t, "GET "+bye), "a fetch")
			}

			b.visit(elsewhere)
			b.script(`document.body.innerHTML = '<form method="post" action="` + logout + `"><button id="go">go</button></form>'`)
			b.submit("#go")
			require.Equal(t, test.post, v.carried(t, "POST "+logout), "a form")
			require.Equal(t, !test.post, strings.Contains(b.visit(home), "ada"), "the user is still logged in")
			b.submit("#logout")
		})
	}
}

// TestPartitioned embeds the site in two others.
func TestPartitioned(t *testing.T) {
	b := tab{t, chromium(t)}
	v := serve(t, "https", "/", nil, middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned())
	home := v.url("app.example", "/")
	embed := func(host string) (carried bool) {
		b.visit(v.url(host, "/bye"))
		b.script(`new Promise(done => {
			const frame = document.createElement("iframe")
			frame.onload = () => done("loaded")
			frame.src = "` + home + `"
			document.body.append(frame)
		})`)
		return v.carried(t, "GET "+home)
	}
	require.False(t, embed("one.example"))
	require.True(t, embed("one.example"), "the embedded site keeps its session")
	require.False(t, embed("two.example"), "and another one elsewhere")
	require.True(t, embed("two.example"))
	require.Contains(t, b.visit(home), "Visit 1 ", "and another one alone")
}

// TestStrictLink shows what Strict means for a page that writes the session: a
// link from elsewhere comes without the cookie, and the new session takes the
// old one's place.
func TestStrictLink(t *testing.T) {
	b := tab{t, chromium(t)}
	v := serve(t, "https", "/", nil, middleware.WithSameSite(http.SameSiteStrictMode))
	home := v.url("app.example", "/")
	b.visit(home)
	require.Contains(t, b.submit("#login"), "Visit 2 by ada")
	b.visit(v.url("other.example", "/bye"))
	b.script(`document.body.innerHTML = '<a id="go" href="` + home + `">go</a>'`)
	require.Contains(t, b.submit("#go"), "Visit 1 by nobody")
	require.Contains(t, b.visit(home), "Visit 2 by nobody")
}

// TestLargest has the browser keep the largest cookie that Bulla makes.
func TestLargest(t *testing.T) {
	b := tab{t, chromium(t)}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	v := serve(t, "http", "/", cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithPersistentCookie())
	fits := func(n int) bool {
		resp, err := http.Get(v.url("localhost", "/fill?with="+strings.Repeat("x", n)))
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	largest, tooMuch := 1, 4096
	require.True(t, fits(largest))
	require.False(t, fits(tooMuch))
	for tooMuch-largest > 1 {
		if n := (largest + tooMuch) / 2; fits(n) {
			largest = n
		} else {
			tooMuch = n
		}
	}
	b.visit(v.url("localhost", "/fill?with="+strings.Repeat("x", largest)))
	cookie := b.cookie(v.url("localhost", "/"))
	require.Greater(t, len(cookie.Name)+len(cookie.Value), 4020, "no room is wasted")
	require.Contains(t, b.visit(v.url("localhost", "/")), "Request Entity Too Large", "one visit more does not fit")
	require.Equal(t, cookie.Value, b.cookie(v.url("localhost", "/")).Value, "the old state stays")
}
