package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/frameworks/internal/drive"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestChi(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	drive.Run(t, store, newHandler)
}

// TestInside has chi's own writers between the session's and the handler.
func TestInside(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store)
	require.NoError(t, err)
	r := chi.NewRouter()
	r.Use(mw.Handler, chimw.Logger, chimw.Compress(5))
	r.Get("/{name}", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err == nil {
			err = user.Set(s, chi.URLParam(r, "name"))
		}
		if err != nil {
			http.Error(w, "error", middleware.StatusOf(err))
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, chi.RouteContext(r.Context()).RoutePattern())
		http.NewResponseController(w).Flush()
	})
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(r)
		server.EnableHTTP2 = http2
		server.StartTLS()
		resp, err := server.Client().Get(server.URL + "/ada")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Len(t, resp.Header["Set-Cookie"], 1)
		require.True(t, resp.Uncompressed, "the body was compressed")
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "/{name}\n", string(body))
		require.NoError(t, resp.Body.Close())
		server.Close()
	}
}
