package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// counted is a store that counts what it is asked.
type counted struct {
	*memstore.Store
	calls atomic.Int64
}

func (c *counted) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	c.calls.Add(1)
	return c.Store.Load(ctx, key, fresh)
}

func (c *counted) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	c.calls.Add(1)
	return c.Store.Save(ctx, key, rec)
}

// Place implements [stores.Store]: this is the server that is asked.
func (c *counted) Place() stores.Place {
	p := c.Store.Place()
	p.Server = c
	return p
}

func TestCrossOrigin(t *testing.T) {
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

	send := func(method, path string, headers map[string]string) (*http.Response, string) {
		form := url.Values{"address": {method + " from " + headers["Sec-Fetch-Site"] + headers["Origin"]}}
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}

	t.Run("no session yet", func(t *testing.T) {
		resp, _ := send("POST", "/address", map[string]string{"Sec-Fetch-Site": "cross-site"})
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
		require.Empty(t, resp.Header["Set-Cookie"])
		require.Zero(t, store.calls.Load())
	})

	resp, _ := send("POST", "/address", map[string]string{"Sec-Fetch-Site": "same-origin"})
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Len(t, resp.Header["Set-Cookie"], 1)

	for name, headers := range map[string]map[string]string{
		"another site":              {"Sec-Fetch-Site": "cross-site"},
		"a sibling subdomain":       {"Sec-Fetch-Site": "same-site"},
		"an old browser":            {"Origin": "https://attacker.example"},
		"a sandboxed frame":         {"Origin": "null"},
		"a trusted name with http":  {"Origin": "http://partner.example", "Sec-Fetch-Site": "cross-site"},
		"a trusted name as a label": {"Origin": "https://partner.example.attacker.example", "Sec-Fetch-Site": "cross-site"},
	} {
		t.Run("POST of "+name, func(t *testing.T) {
			before := store.calls.Load()
			resp, _ := send("POST", "/address", headers)
			require.Equal(t, http.StatusForbidden, resp.StatusCode)
			require.Empty(t, resp.Header["Set-Cookie"], "the session goes on as it is")
			require.Equal(t, before, store.calls.Load(), "the store was not asked")
		})
	}

	_, body := send("GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site"})
	require.Contains(t, body, "POST from same-origin", "a link from elsewhere works, and nothing was changed")

	for name, headers := range map[string]map[string]string{
		"a trusted origin": {"Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"},
		"no browser":       {},
	} {
		t.Run("POST of "+name, func(t *testing.T) {
			resp, _ := send("POST", "/address", headers)
			require.Equal(t, http.StatusSeeOther, resp.StatusCode)
		})
	}
}
