package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	visits = sessions.Key[int]("visits")
	user   = sessions.Key[string]("user")
)

const form = `<form method="post" action="login"><input name="user" value="ada"><button id="login">Log in</button></form>
<form method="post" action="logout"><button id="logout">Log out</button></form>`

// site is a site with a login, at one port of every name of this machine.
type site struct {
	scheme, port string

	mu   sync.Mutex
	sent map[string]string // the Cookie header of the last request, by method and URL
}

// serve begins a site whose pages are below path, which ends in a slash.
func serve(t *testing.T, scheme, path string, store stores.Store, options ...middleware.Option) *site {
	t.Helper()
	if store == nil {
		var err error
		store, err = memstore.New()
		require.NoError(t, err)
	}
	mw, err := middleware.New(store, options...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	page := func(method, name string, use func(http.ResponseWriter, *http.Request, *sessions.Session) error) {
		mux.HandleFunc(method+" "+path+name, func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			if err == nil {
				err = use(w, r, s)
			}
			if err != nil {
				t.Log(err)
				http.Error(w, "error", http.StatusInternalServerError)
			}
		})
	}
	page("GET", "{$}", func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		n, err := visits.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			return err
		}
		name, err := user.GetOr(s, "nobody")
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Site</title><p>Visit %d by %s</p>%s", n, name, form)
		return nil
	})
	page("POST", "login", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := s.Regenerate(); err != nil {
			return err
		}
		if err := user.Set(s, r.FormValue("user")); err != nil {
			return err
		}
		http.Redirect(w, r, path, http.StatusSeeOther)
		return nil
	})
	page("POST", "logout", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		s.Destroy()
		http.Redirect(w, r, path+"bye", http.StatusSeeOther)
		return nil
	})
	page("GET", "fill", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return user.Set(s, r.FormValue("with"))
	})
	// It changes nothing.
	page("GET", "bye", func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		name, err := user.GetOr(s, "nobody")
		fmt.Fprintln(w, "Bye", name)
		return err
	})

	v := &site{scheme: scheme, sent: map[string]string{}}
	handler := mw.Handler(mux)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.sent[r.Method+" "+scheme+"://"+r.Host+r.URL.Path] = r.Header.Get("Cookie")
		v.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	if scheme == "https" {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	_, v.port, err = net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return v
}

// url returns a page's address under one of the names.
func (v *site) url(host, path string) string {
	return v.scheme + "://" + host + ":" + v.port + path
}

// carried tells whether the last such request came with the cookie.
func (v *site) carried(t *testing.T, request string) bool {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	sent, ok := v.sent[request]
	require.True(t, ok, "%s did not arrive", request)
	return strings.Contains(sent, "session=")
}
