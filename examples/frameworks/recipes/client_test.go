package recipes

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/memstore"
)

func inMemory(t *testing.T, options ...middleware.Option) *middleware.Middleware {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store, options...)
	require.NoError(t, err)
	return mw
}

// client is a browser at one server, over TLS.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
}

func serve(t *testing.T, h http.Handler) (browser func() client) {
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	return func() client {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		c := *server.Client()
		c.Jar = jar
		return client{t, &c, server.URL}
	}
}

// ask sends a request as a page of the site does, and returns what the last page says.
func (c client) ask(method, path string, form url.Values) (status int, page string) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(form.Encode()))
	require.NoError(c.t, err)
	r.Header.Set("Referer", c.url+"/")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.url)
	}
	resp, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(body)
}

func (c client) get(path string) string {
	c.t.Helper()
	status, page := c.ask(http.MethodGet, path, nil)
	require.Equal(c.t, http.StatusOK, status, page)
	return page
}

func (c client) post(path string, fields ...string) (int, string) {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return c.ask(http.MethodPost, path, form)
}
