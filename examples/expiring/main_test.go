package main

import (
	"crypto/tls"
	"fmt"
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

// browser is a client and the site that it talks to.
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
	return browser{client, t, url}
}

func (b browser) post(path, answer string) (int, string) {
	resp, err := b.PostForm(b.url+path, url.Values{"answer": {answer}})
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp.StatusCode, string(body)
}

func TestQuiz(t *testing.T) {
	b := newBrowser(t, func(h http.Handler) (*http.Client, string) {
		server := httptest.NewTLSServer(h)
		t.Cleanup(server.Close)
		return server.Client(), server.URL
	})
	status, _ := b.post("/answer", "2")
	require.Equal(t, http.StatusForbidden, status, "not begun")
	_, body := b.post("/start", "")
	require.Contains(t, body, "left")
	_, body = b.post("/answer", "2")
	require.Contains(t, body, "<li>2</li>")
	_, body = b.post("/answer", "3")
	require.Contains(t, body, "<li>2</li><li>3</li>")
}

func TestWritesDoNotLengthen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(t, func(h http.Handler) (*http.Client, string) {
			return &http.Client{Transport: inProcess{h}}, "https://quiz.example"
		})
		b.post("/start", "")
		for minute := 1; minute < 10; minute++ {
			time.Sleep(time.Minute)
			_, body := b.post("/answer", "7")
			require.Contains(t, body, fmt.Sprintf("%s left", lifetime-time.Duration(minute)*time.Minute))
			_, body = b.post("/start", "")
			require.Contains(t, body, "<li>7</li>", "a second start does not begin anew")
		}
		time.Sleep(time.Minute - time.Second)
		status, _ := b.post("/answer", "11")
		require.Equal(t, http.StatusOK, status, "the last second")
		time.Sleep(time.Second)
		status, _ = b.post("/answer", "13")
		require.Equal(t, http.StatusForbidden, status)
	})
}
