package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/frameworks/internal/drive"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestWebsocket(t *testing.T) {
	for _, path := range []string{"/coder", "/gorilla"} {
		t.Run(path[1:], func(t *testing.T) { testSocket(t, path) })
	}
}

func testSocket(t *testing.T, path string) {
	memory, err := memstore.New()
	require.NoError(t, err)
	store := &drive.Store{Store: memory}
	handler, err := newHandler(store, middleware.WithCommitTimeout(time.Second))
	require.NoError(t, err)
	ended := make(chan struct{}, 10) // sockets whose handler has returned
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if r.URL.Path == path {
			ended <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Transport: server.Client().Transport, Jar: jar}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	dial := func() (*websocket.Conn, *http.Response) {
		conn, resp, err := websocket.Dial(ctx, server.URL+path, &websocket.DialOptions{
			HTTPClient: client,
			HTTPHeader: http.Header{"Origin": {server.URL}},
		})
		require.NoError(t, err)
		t.Cleanup(func() { conn.CloseNow() })
		return conn, resp
	}
	say := func(conn *websocket.Conn, text, want string) {
		t.Helper()
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(text)))
		_, answer, err := conn.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(answer))
	}
	body := func(resp *http.Response, err error) string {
		t.Helper()
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(text)
	}

	first, resp := dial()
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Len(t, resp.Header["Set-Cookie"], 1, "the 101 brings the cookie")
	require.True(t, strings.HasPrefix(resp.Header.Get("Set-Cookie"), "__Host-Http-session="))
	say(first, "hello", "1: hello")
	require.Equal(t, "1 sockets, 1 messages\n", body(client.Get(server.URL+"/state")), "stored while the socket is open")

	second, resp := dial()
	require.Empty(t, resp.Header["Set-Cookie"], "the token stays")
	say(second, "and", "2: and")
	say(first, "again", "3: again")
	say(second, "again", "4: again")
	require.Equal(t, "2 sockets, 4 messages\n", body(client.Get(server.URL+"/state")))

	// The socket outlives neither a failing store nor the session.
	store.Down.Store(true)
	require.NoError(t, second.Write(ctx, websocket.MessageText, []byte("lost")))
	_, _, err = second.Read(ctx)
	var closed websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, "something went wrong", closed.Reason)
	<-ended // it tries to store the message once more when it returns
	_, resp, err = websocket.Dial(ctx, server.URL+path, &websocket.DialOptions{HTTPClient: client})
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "no upgrade without a session")
	store.Down.Store(false)
	say(first, "still here", "5: still here")

	require.Equal(t, "0 sockets, 0 messages\n", body(client.Post(server.URL+"/logout", "", nil)))
	_, _, err = first.Read(ctx) // without a word from the client
	require.ErrorAs(t, err, &closed)
	require.Equal(t, "logged out", closed.Reason)
	require.Equal(t, websocket.StatusPolicyViolation, closed.Code)
	<-ended
	require.Equal(t, "0 sockets, 0 messages\n", body(client.Get(server.URL+"/state")), "the socket did not bring the session back")

	// Another site's page must not open a socket with the user's cookie.
	_, resp, err = websocket.Dial(ctx, server.URL+path, &websocket.DialOptions{
		HTTPClient: client,
		HTTPHeader: http.Header{"Origin": {"https://attacker.example"}},
	})
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

// A socket on which nothing happens is closed when its session ends.
func TestSocketsEndWithTheSession(t *testing.T) {
	for _, path := range []string{"/coder", "/gorilla"} {
		t.Run(path[1:], func(t *testing.T) { testEnds(t, path) })
	}
}

func testEnds(t *testing.T, path string) {
	serve := func(store stores.Store, options ...middleware.Option) (*httptest.Server, *http.Client) {
		handler, err := newHandler(store, append(options, middleware.WithWatchInterval(200*time.Millisecond))...)
		require.NoError(t, err)
		server := httptest.NewTLSServer(handler)
		t.Cleanup(server.Close)
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		return server, &http.Client{Transport: server.Client().Transport, Jar: jar}
	}
	open := func(server *httptest.Server, client *http.Client) *websocket.Conn {
		conn, _, err := websocket.Dial(t.Context(), server.URL+path, &websocket.DialOptions{HTTPClient: client})
		require.NoError(t, err)
		t.Cleanup(func() { conn.CloseNow() })
		return conn
	}
	requireClosed := func(conn *websocket.Conn, why string, after, before time.Duration) {
		t.Helper()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := conn.Read(ctx)
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed)
		require.Equal(t, why, closed.Reason)
		require.Equal(t, websocket.StatusPolicyViolation, closed.Code)
		require.Greater(t, time.Since(began), after)
		require.Less(t, time.Since(began), before)
	}

	// Two processes: each has a manager of its own, and they share the store.
	memory, err := memstore.New()
	require.NoError(t, err)
	here, client := serve(memory)
	away, _ := serve(memory)
	conn := open(here, client)
	resp, err := client.Post(away.URL+"/logout", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	const before = 30 * time.Second // a busy machine
	requireClosed(conn, "logged out", 0, before)

	const life = 3 * time.Second
	server, client := serve(memory, middleware.WithRolling(life))
	requireClosed(open(server, client), "session expired", life/10, before)
	server, client = serve(memory, middleware.WithLifetime(life))
	conn = open(server, client)
	requireClosed(conn, "session expired", life/10, before)
}

// TestUpgradeCommits has a handler that leaves the commit to the middleware. It
// comes with the 101, which Accept writes like any other header.
func TestUpgradeCommits(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store)
	require.NoError(t, err)
	server := httptest.NewTLSServer(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err == nil {
			err = sockets.Set(s, 1)
		}
		if err != nil {
			fail(w, err)
			return
		}
		if conn, err := websocket.Accept(w, r, nil); err == nil {
			conn.CloseNow()
		}
	})))
	t.Cleanup(server.Close)
	conn, resp, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{HTTPClient: server.Client()})
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	require.Len(t, resp.Header["Set-Cookie"], 1)
}
