package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/sqltest"
)

// restarts signs in, and is still signed in when the program has started again.
func restarts(t *testing.T, database string) {
	file := filepath.Join(t.TempDir(), "keys")
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var handler http.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer server.Close()
	client := &http.Client{Transport: server.Client().Transport, Jar: jar}

	for start := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		keys, err := readKeys(file, 2)
		require.NoError(t, err)
		db, store, err := openStore(ctx, database)
		require.NoError(t, err)
		handler, err = newHandler(store, keys[0], keys[1])
		require.NoError(t, err)
		if start == 0 {
			resp, err := client.PostForm(server.URL+"/login", url.Values{"user": {"alice"}})
			require.NoError(t, err)
			resp.Body.Close()
		}
		resp, err := client.Get(server.URL + "/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Contains(t, string(body), "alice is signed in on")
		stop()
		require.NoError(t, db.Close())
	}
}

func TestRestartSQLite(t *testing.T) { restarts(t, filepath.Join(t.TempDir(), "sessions.db")) }

func TestRestartPostgreSQL(t *testing.T) { restarts(t, sqltest.PostgreSQL(t).DSN) }
