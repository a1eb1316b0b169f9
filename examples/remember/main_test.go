package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores/memstore"
)

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

// browser is a client that shows redirections, and the site that it talks to.
type browser struct {
	*http.Client
	t   *testing.T
	url string
}

func newBrowser(t *testing.T, connect func(http.Handler) (*http.Client, string)) browser {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store)
	require.NoError(t, err)
	client, url := connect(handler)
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return browser{client, t, url}
}

// newBrowserInProcess returns one whose time is the bubble's.
func newBrowserInProcess(t *testing.T) browser {
	return newBrowser(t, func(h http.Handler) (*http.Client, string) {
		return &http.Client{Transport: inProcess{h}}, "https://app.example"
	})
}

// login returns the cookie of the answer.
func (b browser) login(name, remember string) *http.Cookie {
	resp, err := b.PostForm(b.url+"/login", url.Values{"user": {name}, "remember": {remember}})
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	require.Equal(b.t, http.StatusSeeOther, resp.StatusCode)
	require.Len(b.t, resp.Cookies(), 1)
	return resp.Cookies()[0]
}

// home returns the page, and the cookies that came with it.
func (b browser) home() (string, []*http.Cookie) {
	resp, err := b.Get(b.url + "/")
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return string(body), resp.Cookies()
}

func (b browser) signedIn() bool {
	page, _ := b.home()
	return strings.Contains(page, "Hello, ada")
}

func TestRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowserInProcess(t)
		cookie := b.login("ada", "on")
		require.Equal(t, int(lifetime.Seconds()), cookie.MaxAge, "the browser keeps it")

		// In use for as long as the lifetime, and no longer.
		for at := 6 * 24 * time.Hour; at < lifetime; at += 6 * 24 * time.Hour {
			time.Sleep(6 * 24 * time.Hour)
			page, cookies := b.home()
			require.Contains(t, page, "Hello, ada", "after %s", at)
			require.Empty(t, cookies, "the server alone keeps the idle time")
		}
		time.Sleep(6*24*time.Hour - time.Second)
		require.True(t, b.signedIn())
		time.Sleep(time.Second)
		require.False(t, b.signedIn())

		b.login("ada", "on")
		time.Sleep(idle)
		require.False(t, b.signedIn(), "without use")
	})
}

func TestNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowserInProcess(t)
		cookie := b.login("ada", "")
		require.Zero(t, cookie.MaxAge, "the browser forgets it when it is closed")
		require.Zero(t, cookie.Expires)

		for at := shortIdle - time.Minute; at < shortLifetime; at += shortIdle - time.Minute {
			time.Sleep(shortIdle - time.Minute)
			page, cookies := b.home()
			require.Contains(t, page, "Hello, ada", "after %s", at)
			require.Empty(t, cookies, "the server alone keeps the time")
		}
		time.Sleep(shortIdle - time.Minute)
		require.False(t, b.signedIn(), "after 12 hours, however much it was used")

		b.login("ada", "")
		time.Sleep(shortIdle)
		require.False(t, b.signedIn(), "without use")
	})
}

// What one login said does not hold for the next one in the same session.
func TestAnotherLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowserInProcess(t)
		b.login("ada", "")
		require.Equal(t, int(lifetime.Seconds()), b.login("ada", "on").MaxAge)
		time.Sleep(idle - time.Minute)
		require.True(t, b.signedIn(), "the limit of the first login is over")

		require.Zero(t, b.login("eve", "").MaxAge)
		time.Sleep(shortIdle)
		require.False(t, b.signedIn())
	})
}

func TestServed(t *testing.T) {
	b := newBrowser(t, func(h http.Handler) (*http.Client, string) {
		server := httptest.NewTLSServer(h)
		t.Cleanup(server.Close)
		return server.Client(), server.URL
	})
	b.login("ada", "on")
	page, _ := b.home()
	require.Contains(t, page, "signed out in 168h0m0s")
	b.login("ada", "")
	page, _ = b.home()
	require.Contains(t, page, "signed out in 1h0m0s")
	resp, err := b.PostForm(b.url+"/logout", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.False(t, b.signedIn())
}
