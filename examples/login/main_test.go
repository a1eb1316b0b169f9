package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores/memstore"
)

// browser is a client with a cookie jar and the site that it talks to.
type browser struct {
	*http.Client
	t   *testing.T
	url string
}

func (b browser) get(path string) string {
	resp, err := b.Get(b.url + path)
	require.NoError(b.t, err)
	return b.read(resp)
}

func (b browser) post(path string, form url.Values) (int, string) {
	resp, err := b.PostForm(b.url+path, form)
	require.NoError(b.t, err)
	return resp.StatusCode, b.read(resp)
}

func (b browser) read(resp *http.Response) string {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return string(body)
}

func (b browser) cookies() []*http.Cookie {
	u, err := url.Parse(b.url)
	require.NoError(b.t, err)
	return b.Jar.Cookies(u)
}

// with returns another browser on the same site, which holds these cookies.
func (b browser) with(cookies ...*http.Cookie) browser {
	jar, err := cookiejar.New(nil)
	require.NoError(b.t, err)
	u, err := url.Parse(b.url)
	require.NoError(b.t, err)
	for _, c := range cookies {
		jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/", Secure: true}})
	}
	return browser{&http.Client{Transport: b.Transport, Jar: jar}, b.t, b.url}
}

func newSite(t *testing.T) http.Handler {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store, encrypt.GenerateKey(), map[string]account{
		"alice": newAccount("correct horse"),
		"bob":   newAccount("battery staple"),
	})
	require.NoError(t, err)
	return handler
}

func newBrowser(t *testing.T) browser {
	server := httptest.NewTLSServer(newSite(t))
	t.Cleanup(server.Close)
	return browser{server.Client(), t, server.URL}.with()
}

var (
	alice = url.Values{"user": {"alice"}, "password": {"correct horse"}}
	bob   = url.Values{"user": {"bob"}, "password": {"battery staple"}}
)

func TestLoginAndLogout(t *testing.T) {
	b := newBrowser(t)
	require.Contains(t, b.get("/codes"), `action="/login"`)

	status, wrong := b.post("/login", url.Values{"user": {"alice"}, "password": {"battery staple"}})
	require.Equal(t, http.StatusUnauthorized, status)
	status, unknown := b.post("/login", url.Values{"user": {"eve"}, "password": {"battery staple"}})
	require.Equal(t, http.StatusUnauthorized, status)
	require.Equal(t, wrong, unknown, "nobody learns who has an account")
	require.Empty(t, b.cookies(), "a failed login begins no session")

	status, body := b.post("/login", alice)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "Hello, alice")
	require.Contains(t, b.get("/codes"), "8215 0394 6617")

	kept := b.with(b.cookies()...)
	require.Contains(t, kept.get("/"), "Hello, alice")
	_, body = b.post("/logout", nil)
	require.Contains(t, body, `action="/login"`)
	require.Empty(t, b.cookies())
	require.NotContains(t, kept.get("/"), "alice", "a cookie that was kept is of no use")
}

// Bob plants the cookie of a session of his own in Alice's browser and waits for
// her to sign in.
func TestPlantedCookie(t *testing.T) {
	b := newBrowser(t)
	b.post("/login", bob)
	victim := b.with(b.cookies()...)
	_, body := victim.post("/login", alice)
	require.Contains(t, body, "Hello, alice")
	require.NotEqual(t, b.cookies()[0].Value, victim.cookies()[0].Value)
	require.NotContains(t, b.get("/"), "alice")
}

// inProcess hands requests to a handler without a network, so that the time of
// the test is the bubble's.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	r = r.WithContext(r.Context())
	r.TLS = new(tls.ConnectionState) // the URL says https
	p.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func TestFreshProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := browser{&http.Client{Transport: inProcess{newSite(t)}}, t, "https://app.example"}.with()
		b.post("/login", alice)
		time.Sleep(fresh)
		require.Contains(t, b.get("/codes"), "8215 0394 6617")
		time.Sleep(time.Second)
		require.Contains(t, b.get("/"), "Hello, alice", "still signed in")
		require.Contains(t, b.get("/codes"), "Is it you, alice?")

		before := b.cookies()[0].Value
		status, body := b.post("/confirm", url.Values{"password": {"battery staple"}})
		require.Equal(t, http.StatusUnauthorized, status)
		require.NotContains(t, body, "8215")
		require.Contains(t, b.get("/codes"), "Is it you, alice?")

		_, body = b.post("/confirm", url.Values{"password": {"correct horse"}})
		require.Contains(t, body, "8215 0394 6617")
		require.NotEqual(t, before, b.cookies()[0].Value, "more privileges, a new ID")
		require.Contains(t, b.get("/codes"), "8215 0394 6617")
	})
}
