package recipes

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// behind serves h behind a proxy that ends TLS, as most are served.
func behind(t *testing.T, h http.Handler, rewrite func(*httputil.ProxyRequest)) client {
	backend := httptest.NewServer(h)
	t.Cleanup(backend.Close)
	to, err := url.Parse(backend.URL)
	require.NoError(t, err)
	return serve(t, &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		rewrite(p)
	}})()
}

func visit(mw *middleware.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/visits", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		n, err := count.Update(s, func(n int) int { return n + 1 })
		fmt.Fprint(w, "visit ", n)
		return err
	}))
	mux.HandleFunc("GET /logo.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		fmt.Fprint(w, "<svg/>")
	})
	return Protected(mw, mux)
}

// TestProxy has TLS end at the proxy. The Secure cookie goes on; the origin check needs
// the host that the browser has asked for.
func TestProxy(t *testing.T) {
	keepsHost := func(p *httputil.ProxyRequest) { p.Out.Host = p.In.Host }
	c := behind(t, visit(inMemory(t)), keepsHost)
	require.Equal(t, "visit 1", c.get("/visits"))
	status, page := c.post("/visits")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "visit 2", page)

	c = behind(t, visit(inMemory(t)), func(*httputil.ProxyRequest) {})
	require.Equal(t, "visit 1", c.get("/visits"))
	status, _ = c.post("/visits") // from a browser without Sec-Fetch-Site
	require.Equal(t, http.StatusForbidden, status)
}

// TestSharedCache: what used a session tells caches to keep off; what did not is as the
// handler says, also for who has the cookie.
func TestSharedCache(t *testing.T) {
	c := serve(t, visit(inMemory(t)))()
	header := func(path string) http.Header {
		resp, err := c.http.Get(c.url + path)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.Header
	}
	h := header("/visits")
	require.Equal(t, "no-store", h.Get("Cache-Control"), "it sets the cookie")
	require.NotEmpty(t, h.Get("Set-Cookie"))
	h = header("/visits")
	require.Equal(t, "private", h.Get("Cache-Control"))
	require.Contains(t, h.Get("Vary"), "Cookie")
	h = header("/logo.svg")
	require.Equal(t, "public, max-age=3600", h.Get("Cache-Control"))
	require.Empty(t, h.Get("Vary"))
	require.Empty(t, h.Get("Set-Cookie"))
}

// TestFirebaseHosting has a front end that passes on one cookie, and no other.
func TestFirebaseHosting(t *testing.T) {
	only := func(p *httputil.ProxyRequest) {
		p.Out.Host = p.In.Host
		kept := p.In.CookiesNamed("__session")
		p.Out.Header.Del("Cookie")
		for _, c := range kept {
			p.Out.AddCookie(c)
		}
	}
	c := behind(t, visit(inMemory(t, middleware.WithFirebaseHosting())), only)
	require.Equal(t, "visit 1", c.get("/visits"))
	require.Equal(t, "visit 2", c.get("/visits"))
	c = behind(t, visit(inMemory(t)), only)
	require.Equal(t, "visit 1", c.get("/visits"))
	require.Equal(t, "visit 1", c.get("/visits"))
}
