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

const site = "https://app.example"

// newBrowser returns a client with a started session.
func newBrowser(t *testing.T) *http.Client {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store)
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Transport: inProcess{handler}, Jar: jar}
	resp, err := client.PostForm(site+"/start", url.Values{"name": {"Ada"}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return client
}

func get(t *testing.T, client *http.Client, path string) (*http.Response, string) {
	resp, err := client.Get(site + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newBrowser(t)
		for range 3 {
			time.Sleep(idle - time.Second)
			resp, body := get(t, client, "/")
			require.Contains(t, body, "Hello, Ada")
			require.Empty(t, resp.Cookies(), "the server alone keeps the time")
		}
		time.Sleep(idle - time.Second)
		get(t, client, "/about")
		time.Sleep(time.Second)
		_, body := get(t, client, "/")
		require.NotContains(t, body, "Ada", "a page without the session is no use of it")
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newBrowser(t)
		for at := 20 * time.Minute; at < limit; at += 20 * time.Minute {
			time.Sleep(20 * time.Minute)
			_, body := get(t, client, "/")
			require.Contains(t, body, "Hello, Ada", "used again after %s", at)
		}
		time.Sleep(20 * time.Minute)
		_, body := get(t, client, "/")
		require.NotContains(t, body, "Ada", "however much it was used")
	})
}

func TestTouchInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newBrowser(t)
		time.Sleep(touch - time.Second)
		_, body := get(t, client, "/")
		require.Contains(t, body, "ends in 29m1s")

		time.Sleep(2 * time.Second)
		_, body = get(t, client, "/")
		require.Contains(t, body, "ends in 28m59s", "no write within the interval")
		_, body = get(t, client, "/")
		require.Contains(t, body, "ends in 30m0s", "the use before has extended it")
	})
}

func TestServed(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := server.Client()
	client.Jar = jar
	resp, err := client.PostForm(server.URL+"/start", url.Values{"name": {"Ada"}})
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "Hello, Ada")
	require.Contains(t, string(body), "ends in 30m0s")
}
