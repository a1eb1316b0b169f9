package main

import (
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

func TestCookieGoesWithTheBrowser(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	set := make(map[string]string)
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		set["cookie"] = r.Response.Header.Get("Set-Cookie")
		return nil
	}

	resp, err := client.PostForm(server.URL+"/colour", url.Values{"colour": {"teal"}})
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "Your colour is teal")
	require.True(t, strings.HasPrefix(set["cookie"], "__Host-Http-session="), set["cookie"])
	require.NotContains(t, set["cookie"], "Max-Age")
	require.NotContains(t, set["cookie"], "Expires")
	require.Empty(t, resp.Cookies(), "and the session is not written again by reading it")
}

func TestServerHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memstore.New()
		require.NoError(t, err)
		handler, err := newHandler(store)
		require.NoError(t, err)

		rec := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "https://example.com/colour?colour=teal", nil)
		handler.ServeHTTP(rec, r)
		require.Len(t, rec.Result().Cookies(), 1)
		kept := rec.Result().Cookies()[0] // by somebody who never closes a browser

		home := func() string {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "https://example.com/", nil)
			r.AddCookie(kept)
			handler.ServeHTTP(rec, r)
			return rec.Body.String()
		}
		time.Sleep(limit - time.Second)
		require.Contains(t, home(), "teal")
		time.Sleep(time.Second)
		require.NotContains(t, home(), "teal")
	})
}
