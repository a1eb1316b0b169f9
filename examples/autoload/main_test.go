package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// counted is a store that counts its loads, and can be down.
type counted struct {
	*memstore.Store
	loads atomic.Int64
	down  atomic.Bool
}

func (c *counted) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	c.loads.Add(1)
	if c.down.Load() {
		return stores.Record{}, fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("connection refused"))
	}
	return c.Store.Load(ctx, key, fresh)
}

// Place implements [stores.Store]: this is the server that is asked.
func (c *counted) Place() stores.Place {
	p := c.Store.Place()
	p.Server = c
	return p
}

func TestAutoload(t *testing.T) {
	memory, err := memstore.New()
	require.NoError(t, err)
	store := &counted{Store: memory}
	handler, err := newHandler(store)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	read := func(resp *http.Response, err error) (*http.Response, string) {
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}

	resp, _ := read(client.Get(server.URL + "/app/"))
	require.Equal(t, http.StatusSeeOther, resp.StatusCode, "no cookie, nobody is there")
	require.Zero(t, store.loads.Load(), "and no store is asked")

	resp, _ = read(client.PostForm(server.URL+"/start", url.Values{"name": {"Ada"}}))
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Len(t, resp.Cookies(), 1)

	for path, want := range map[string]struct {
		title string
		loads int64
	}{
		"/":             {"A page without a session", 0},
		"/app/":         {"App of Ada", 1},
		"/app/settings": {"Settings of Ada", 1},
		"/report":       {"Report of Ada", 1},
	} {
		before := store.loads.Load()
		resp, body := read(client.Get(server.URL + path))
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Contains(t, body, "<h1>"+want.title+"</h1>", path)
		require.Equal(t, want.loads, store.loads.Load()-before, path)
		require.Empty(t, resp.Cookies(), "what only reads writes nothing: %s", path)
	}

	before := store.loads.Load()
	resp, _ = read(client.Get(server.URL + "/application"))
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, before, store.loads.Load(), "/app/ is not /application")

	store.down.Store(true)
	resp, _ = read(client.Get(server.URL + "/"))
	require.Equal(t, http.StatusOK, resp.StatusCode, "the public page needs no store")
	resp, _ = read(client.Get(server.URL + "/app/"))
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Empty(t, resp.Cookies(), "an outage is no logout")
	store.down.Store(false)
	_, body := read(client.Get(server.URL + "/app/"))
	require.Contains(t, body, "App of Ada")
}
