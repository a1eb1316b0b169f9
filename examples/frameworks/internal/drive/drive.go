// Package drive uses an example as a browser would: over TLS, since the cookie
// is Secure, with a cookie jar, over HTTP/1.1 and over HTTP/2.
package drive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const cookieName = "__Host-Http-session"

// Store is a store that can be switched off.
type Store struct {
	*memstore.Store
	Down atomic.Bool // to writes
	Deaf atomic.Bool // to reads
}

// Place implements [stores.Store]: this is the server that is asked.
func (s *Store) Place() stores.Place {
	p := s.Store.Place()
	p.Server = s
	return p
}

// Load implements [stores.Server].
func (s *Store) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	if s.Deaf.Load() {
		return stores.Record{}, fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("switched off"))
	}
	return s.Store.Load(ctx, key, f)
}

// Save implements [stores.Server].
func (s *Store) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	if s.Down.Load() {
		return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("switched off"))
	}
	return s.Store.Save(ctx, key, rec)
}

// Run proves that the handler that newHandler makes keeps sessions:
//
//	GET /        answers "Visit 1", and counts
//	GET /whoami  answers the user's name, or "nobody"
//	POST /login  logs the user of the form in and redirects to /whoami
//	POST /logout ends the session and redirects to /whoami
//	GET /stream  sends "event 1", "event 2", … until the client goes
//	GET /events  answers how many events the user was sent
func Run(t *testing.T, memory *memstore.Store, newHandler func(stores.Store) (http.Handler, error)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			store := &Store{Store: memory}
			handler, err := newHandler(store)
			if err != nil {
				t.Fatal(err)
			}
			streams := make(chan struct{}, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(w, r)
				if r.URL.Path == "/stream" {
					streams <- struct{}{}
				}
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			newClient := func(t *testing.T) *client { return &client{t, server, jarred(t, server), proto} }

			t.Run("count", newClientTest(newClient, (*client).count))
			t.Run("login and logout", newClientTest(newClient, (*client).login))
			t.Run("stream", newClientTest(newClient, func(c *client) { c.stream(streams) }))
			t.Run("outage", newClientTest(newClient, func(c *client) { c.outage(store) }))
		})
	}
}

func newClientTest(newClient func(*testing.T) *client, test func(*client)) func(*testing.T) {
	return func(t *testing.T) { test(newClient(t)) }
}

// jarred returns a new user's client of server.
func jarred(t *testing.T, server *httptest.Server) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: server.Client().Transport, Jar: jar, Timeout: 20 * time.Second}
}

type client struct {
	t      *testing.T
	server *httptest.Server
	http   *http.Client
	proto  string
}

// get returns the answer to a GET, or to a POST where there is a form.
func (c *client) get(path, form string) (*http.Response, string) {
	c.t.Helper()
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, c.server.URL+path, strings.NewReader(form))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.Proto != c.proto {
		c.t.Fatalf("%s was answered by %s, not %s", path, resp.Proto, c.proto)
	}
	return resp, strings.TrimSpace(string(body))
}

func (c *client) want(path, form, want string) *http.Response {
	c.t.Helper()
	resp, body := c.get(path, form)
	if resp.StatusCode != http.StatusOK || body != want {
		c.t.Fatalf("%s: %s %q, want %q", path, resp.Status, body, want)
	}
	return resp
}

// token returns the value of the session's cookie in the jar.
func (c *client) token() string {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.server.URL, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, cookie := range c.http.Jar.Cookies(r.URL) {
		if cookie.Name == cookieName {
			return cookie.Value
		}
	}
	return ""
}

func (c *client) count() {
	resp := c.want("/", "", "Visit 1")
	if n := len(resp.Header["Set-Cookie"]); n != 1 {
		c.t.Fatalf("the first answer has %d Set-Cookie lines", n)
	}
	resp = c.want("/", "", "Visit 2")
	if n := len(resp.Header["Set-Cookie"]); n != 0 {
		c.t.Fatalf("the second answer has %d Set-Cookie lines, though the token stays", n)
	}
	c.want("/", "", "Visit 3")
	if resp, _ := c.get("/nowhere", ""); resp.StatusCode != http.StatusNotFound {
		c.t.Fatalf("an unknown path: %s", resp.Status)
	}
	other := &client{c.t, c.server, jarred(c.t, c.server), c.proto}
	other.want("/", "", "Visit 1")
}

func (c *client) login() {
	c.want("/whoami", "", "nobody")
	if c.token() != "" {
		c.t.Fatal("a page that stores nothing has set a cookie")
	}
	c.want("/", "", "Visit 1")
	before := c.token()
	c.want("/login", "user=ada", "ada")
	after := c.token()
	if before == "" || after == "" || before == after {
		c.t.Fatal("the login has not changed the token")
	}
	c.want("/", "", "Visit 2") // what the session had before stays

	r, err := http.NewRequest(http.MethodGet, c.server.URL+"/whoami", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookieName, Value: before})
	attacker := &http.Client{Transport: c.http.Transport}
	resp, err := attacker.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "nobody\n" {
		c.t.Fatalf("who knew the old token is %q", body)
	}

	c.want("/logout", "x=y", "nobody")
	if c.token() != "" {
		c.t.Fatal("the cookie is still there after the logout")
	}
	c.want("/", "", "Visit 1")
}

func (c *client) stream(ended chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.URL+"/stream", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if n := len(resp.Header["Set-Cookie"]); n != 1 {
		c.t.Fatalf("the stream's headers have %d Set-Cookie lines, want 1", n)
	}
	// The stream never ends: that anything arrives shows that nothing buffers it.
	lines := bufio.NewScanner(resp.Body)
	for i := 1; i <= 3; i++ {
		if want := fmt.Sprintf("event %d", i); !lines.Scan() || lines.Text() != want {
			c.t.Fatalf("the stream has %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		c.t.Fatal("the handler does not learn that the client is gone")
	}
	// What changed after the first byte was saved when the handler returned.
	if _, body := c.get("/events", ""); body < "3" {
		c.t.Fatalf("the session counts %q events, want 3 or more", body)
	}
}

func (c *client) outage(store *Store) {
	c.want("/", "", "Visit 1")
	token := c.token()
	for _, off := range []*atomic.Bool{&store.Down, &store.Deaf} {
		off.Store(true)
		resp, body := c.get("/", "")
		if resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "Visit") {
			c.t.Fatalf("with the store off: %s %q, want 503 alone", resp.Status, body)
		}
		off.Store(false)
	}
	if c.token() != token {
		c.t.Fatal("an outage has changed the cookie")
	}
	c.want("/", "", "Visit 2")
}
