package gorillastore_test

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	gorilla "github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/gorillastore"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

type item struct {
	Name  string
	Count int
}

func init() { gob.Register(item{}) }

type counting struct {
	stores.Server
	saves int
}

func (c *counting) Place() stores.Place {
	return stores.Place{Name: "memory", Server: c, InProcess: true}
}

func (c *counting) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	c.saves++
	return c.Server.Save(ctx, key, rec)
}

// site is a real server with h inside of the middleware, and a browser.
func site(t *testing.T, store stores.Store, h http.HandlerFunc, opts ...middleware.Option) func(path string) (int, string, []*http.Cookie) {
	mw, err := middleware.New(store, opts...)
	require.NoError(t, err)
	server := httptest.NewTLSServer(mw.Handler(h))
	t.Cleanup(server.Close)
	client := server.Client()
	client.Jar, _ = cookiejar.New(nil)
	return func(path string) (int, string, []*http.Cookie) {
		t.Helper()
		resp, err := client.Get(server.URL + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body), resp.Cookies()
	}
}

// A handler as they are written for gorilla/sessions.
func shop(w http.ResponseWriter, r *http.Request) {
	var store gorilla.Store = gorillastore.Store{}
	s, err := store.Get(r, "shop")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/add":
		list, _ := s.Values["cart"].([]any)
		s.Values["cart"] = append(list, item{"tea", len(list) + 1})
		s.Values[42] = true
		s.AddFlash("added")
	case "/flashes":
		fmt.Fprint(&lines{w: w}, s.Flashes()...)
	case "/leave":
		s.Options.MaxAge = -1
	case "/empty":
		clear(s.Values)
	case "/bad":
		s.Values["f"] = func() {}
	}
	again, err := store.Get(r, "shop")
	if err != nil || again != s {
		panic("another session")
	}
	if err := gorilla.Save(r, w); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, s.IsNew, " ", s.Values["cart"], " ", s.Values[42])
}

// lines takes what a page would show, and writes nothing yet.
type lines struct{ w http.ResponseWriter }

func (l *lines) Write(p []byte) (int, error) {
	l.w.Header().Add("Flash", string(p))
	return len(p), nil
}

func TestStore(t *testing.T) {
	memory, err := memstore.New()
	require.NoError(t, err)
	counted := &counting{Server: memory}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
	}{
		"memory": {counted, nil},
		"cookie": {cookiestore.Sealed(), []middleware.Option{middleware.WithEncryptor(enc)}},
	} {
		t.Run(name, func(t *testing.T) {
			get := site(t, tt.store, shop, tt.opts...)
			page := func(path, want string, cookies int) {
				t.Helper()
				status, body, set := get(path)
				require.Equal(t, http.StatusOK, status, body)
				require.Equal(t, want, body)
				require.Len(t, set, cookies)
				for _, c := range set {
					require.Equal(t, "__Host-Http-session", c.Name, "there is no cookie but ours")
				}
			}
			inCookie := 0
			if name == "cookie" {
				inCookie = 1
			}
			page("/", "true <nil> <nil>", 0) // an empty session leaves nothing
			page("/add", "true [{tea 1}] true", 1)
			saves := counted.saves
			page("/", "false [{tea 1}] true", 0) // and one that is the same writes nothing
			page("/", "false [{tea 1}] true", 0)
			require.Equal(t, saves, counted.saves)
			page("/add", "false [{tea 1} {tea 2}] true", inCookie)
			page("/flashes", "false [{tea 1} {tea 2}] true", inCookie)

			status, body, _ := get("/bad")
			require.Equal(t, http.StatusInternalServerError, status)
			require.Contains(t, body, sessions.ErrEncode.Error())
			page("/", "false [{tea 1} {tea 2}] true", 0)
			page("/leave", "false [{tea 1} {tea 2}] true", inCookie)
			page("/", "true <nil> <nil>", 0)
			page("/add", "true [{tea 1}] true", inCookie)
			page("/empty", "false <nil> <nil>", inCookie)
			page("/", "true <nil> <nil>", 0)
		})
	}
}

// What goth and others count on: a session that is never nil, and an error that tells.
func TestNeverNil(t *testing.T) {
	store := gorillastore.Store{}
	r := httptest.NewRequest("GET", "/", nil)
	for _, f := range []func(*http.Request, string) (*gorilla.Session, error){store.Get, store.New} {
		s, err := f(r, "name")
		require.ErrorIs(t, err, sessions.ErrNoMiddleware)
		require.NotNil(t, s)
		require.NotNil(t, s.Options)
		require.NotNil(t, s.Values)
		require.ErrorIs(t, s.Save(r, httptest.NewRecorder()), sessions.ErrNoMiddleware)
	}

	memory, err := memstore.New()
	require.NoError(t, err)
	get := site(t, memory, func(w http.ResponseWriter, r *http.Request) {
		own, err := sessions.Load(r.Context())
		require.NoError(t, err)
		require.NoError(t, sessions.Key[[]byte]("gorilla.name").Set(own, []byte("no gob")))
		s, err := store.New(r, "name")
		require.ErrorIs(t, err, sessions.ErrDecode)
		require.True(t, s.IsNew)
		s.Values["a"] = "b"
		require.NoError(t, s.Save(r, w), "so that it is not for ever")
		s, err = store.New(r, "name")
		require.NoError(t, err)
		require.Equal(t, map[any]any{"a": "b"}, s.Values)
	})
	status, _, _ := get("/")
	require.Equal(t, http.StatusOK, status)
}
