package gothtest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/markbates/goth"
	"github.com/markbates/goth/gothic"
	"github.com/markbates/goth/providers/gitea"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/gorillastore"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const user = sessions.Key[string]("user")

// provider answers as an OAuth 2 provider does (RFC 6749, section 4.1) to a user who
// always agrees. A code is good for one token.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	codes map[string]bool
	last  string // the last code
}

func newProvider(t *testing.T) *provider {
	p := &provider{codes: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		back, err := url.Parse(r.FormValue("redirect_uri"))
		if err != nil || r.FormValue("client_id") != "client" || r.FormValue("response_type") != "code" {
			http.Error(w, "invalid_request", http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		p.last = rand.Text()
		p.codes[p.last] = true
		back.RawQuery = url.Values{"code": {p.last}, "state": {r.FormValue("state")}}.Encode()
		p.mu.Unlock()
		http.Redirect(w, r, back.String(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		p.mu.Lock()
		good := p.codes[r.FormValue("code")] && id == "client" && secret == "secret" && r.FormValue("grant_type") == "authorization_code"
		delete(p.codes, r.FormValue("code"))
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if !good {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"access_token": "token-of-ada", "token_type": "Bearer", "expires_in": 3600})
	})
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("access_token") != "token-of-ada" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"id":7,"login":"ada","full_name":"Ada","email":"ada@example.com"}`)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// newApp is an application that logs users in with goth.
func newApp(t *testing.T, mw *middleware.Middleware) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth", gothic.BeginAuthHandler)
	mux.Handle("GET /callback", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		who, err := gothic.CompleteUserAuth(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return nil
		}
		if err := errors.Join(s.Regenerate(), s.SetAuthenticated(time.Now()), user.Set(s, who.Email)); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		who, err := user.GetOr(s, "nobody")
		if err == nil {
			_, err = fmt.Fprint(w, who, " ", s.Names())
		}
		return err
	}))
	server := httptest.NewTLSServer(mw.Handler(mux))
	t.Cleanup(server.Close)
	return server
}

// browser follows redirects and has a jar.
func browser(t *testing.T, app *httptest.Server) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Transport: app.Client().Transport, Jar: jar, Timeout: time.Minute}
}

func get(t *testing.T, c *http.Client, target string) (int, string) {
	t.Helper()
	resp, err := c.Get(target)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestGoth(t *testing.T) {
	memory := func() stores.Store {
		s, err := memstore.New()
		require.NoError(t, err)
		return s
	}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	hybrid, err := hybridstore.New(cookiestore.Sealed(), memory())
	require.NoError(t, err)
	sealed := []middleware.Option{middleware.WithEncryptor(enc)}
	for name, tt := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
	}{
		"memory":       {memory(), nil},
		"cookie":       {cookiestore.Sealed(), sealed},
		"hybrid":       {hybrid, sealed},
		"cookie cache": {memory(), append(sealed, middleware.WithCookieCache(time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			mw, err := middleware.New(tt.store, tt.opts...)
			require.NoError(t, err)
			app, at := newApp(t, mw), newProvider(t)
			gothic.Store = gorillastore.Store{}
			goth.ClearProviders()
			goth.UseProviders(gitea.NewCustomisedURL("client", "secret", app.URL+"/callback?provider=gitea", at.URL+"/authorize", at.URL+"/token", at.URL+"/user"))
			callback := func(code, state string) string {
				return app.URL + "/callback?" + url.Values{"provider": {"gitea"}, "code": {code}, "state": {state}}.Encode()
			}
			// begin goes to the provider and stops before it is sent back.
			begin := func(c *http.Client) (code, state string) {
				t.Helper()
				c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
					if r.URL.Path == "/callback" {
						state = r.FormValue("state")
						return http.ErrUseLastResponse
					}
					return nil
				}
				status, _ := get(t, c, app.URL+"/auth?provider=gitea")
				require.Equal(t, http.StatusFound, status)
				c.CheckRedirect = nil
				require.NotEmpty(t, state)
				return at.last, state
			}

			ada := browser(t, app)
			status, page := get(t, ada, app.URL+"/auth?provider=gitea")
			require.Equal(t, http.StatusOK, status, page)
			require.Equal(t, "ada@example.com [user]", page, "and nothing of goth's stays")
			at1, err := url.Parse(app.URL)
			require.NoError(t, err)
			require.Len(t, ada.Jar.Cookies(at1), 1, "one cookie, ours")
			require.Equal(t, "__Host-Http-session", ada.Jar.Cookies(at1)[0].Name)

			// Another's state, as in a forged callback; and a callback in another browser.
			eve := browser(t, app)
			code, state := begin(eve)
			status, page = get(t, eve, callback(code, "another"))
			require.Equal(t, http.StatusForbidden, status)
			require.Contains(t, page, "state token mismatch")
			status, page = get(t, browser(t, app), callback(code, state))
			require.Equal(t, http.StatusForbidden, status)
			require.Contains(t, page, "could not find a matching session")
			_, page = get(t, eve, app.URL)
			require.Equal(t, "nobody []", page)

			// The session with the state is used up: a callback can't come twice.
			bob := browser(t, app)
			code, state = begin(bob)
			_, page = get(t, bob, callback(code, state))
			require.Equal(t, "ada@example.com [user]", page)
			status, _ = get(t, bob, callback(code, state))
			require.Equal(t, http.StatusForbidden, status)
		})
	}
}
