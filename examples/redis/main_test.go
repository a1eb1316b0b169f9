//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
)

// serve starts the program on a Redis, with a client of its own, as a process has.
func serve(t *testing.T, addr string, key encrypt.Key, cache time.Duration) *httptest.Server {
	return serveWith(t, &redis.Options{Addr: addr}, key, settings{cache: cache})
}

func serveWith(t *testing.T, options *redis.Options, key encrypt.Key, s settings) *httptest.Server {
	client := newClient(options, s)
	t.Cleanup(func() { client.Close() })
	handler, err := newHandler(client, key, s)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server
}

// browser is a client with a cookie jar. It comes to any of the servers, as
// through a load balancer.
type browser struct {
	*http.Client
	t *testing.T
}

func newBrowser(t *testing.T, server *httptest.Server) browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return browser{&http.Client{Transport: server.Client().Transport, Jar: jar}, t}
}

func (b browser) get(server *httptest.Server) (*http.Response, string) {
	resp, err := b.Get(server.URL + "/")
	require.NoError(b.t, err)
	return b.read(resp)
}

func (b browser) post(server *httptest.Server, path, name, value string) (*http.Response, string) {
	resp, err := b.PostForm(server.URL+path, url.Values{name: {value}})
	require.NoError(b.t, err)
	return b.read(resp)
}

func (b browser) read(resp *http.Response) (*http.Response, string) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp, string(body)
}

func (b browser) cookie(server *httptest.Server) string {
	u, err := url.Parse(server.URL)
	require.NoError(b.t, err)
	require.Len(b.t, b.Jar.Cookies(u), 1)
	return b.Jar.Cookies(u)[0].Value
}

func TestTwoServers(t *testing.T) {
	db := redistest.Single(t)
	key := encrypt.GenerateKey()
	one, two := serve(t, db.Addr, key, 0), serve(t, db.Addr, key, 0)
	b := newBrowser(t, one)
	b.post(one, "/login", "user", "ada")
	_, body := b.get(two)
	require.Contains(t, body, "The basket of ada")

	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if resp, err := b.PostForm([]string{one.URL, two.URL}[i%2]+"/items", url.Values{"item": {"tea"}}); err == nil {
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	_, body = b.get(one)
	require.Equal(t, 10, strings.Count(body, "<li>tea</li>"), "no item is lost")

	b.post(two, "/logout", "", "")
	_, body = b.get(one)
	require.Contains(t, body, "Your basket")
	for _, name := range db.Client().Keys(t.Context(), "*").Val() {
		require.LessOrEqual(t, db.Client().TTL(t.Context(), name).Val(), 10*time.Minute, "what says that they have ended goes soon")
	}
}

// What a thief of the database finds.
func TestNothingToReadInTheDatabase(t *testing.T) {
	dir := t.TempDir()
	// The log of commands has also what was overwritten and deleted.
	db := redistest.Single(t, "--dir", dir, "--rdbcompression", "no", "--appendonly", "yes")
	server := serve(t, db.Addr, encrypt.GenerateKey(), time.Minute)
	b := newBrowser(t, server)
	secrets := []string{"ada.lovelace@example.com", "a present for Charles"}
	note := func() {
		value := b.cookie(server)
		id, err := base64.RawURLEncoding.DecodeString(value[:32])
		require.NoError(t, err)
		secrets = append(secrets, value, value[:32], string(id))
	}
	b.post(server, "/items", "item", secrets[1])
	note()
	b.post(server, "/login", "user", secrets[0])
	note()
	_, body := b.get(server)
	for _, s := range secrets[:2] {
		require.Contains(t, body, s)
	}
	require.NoError(t, db.Client().Save(t.Context()).Err())

	var raw strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		raw.Write(b)
		return err
	}))
	names := db.Client().Keys(t.Context(), "*").Val()
	require.Len(t, names, 2, "the session, and where it was before the login")
	for _, name := range names {
		_, err := stores.ParseKey(strings.TrimPrefix(name, "bulla:"))
		require.NoError(t, err, "filed under a hash of the ID")
		require.Contains(t, raw.String(), name)
	}
	for _, s := range secrets {
		require.False(t, strings.Contains(raw.String(), s), "found %q", s)
	}
}

func TestOutage(t *testing.T) {
	db := redistest.Single(t)
	key := encrypt.GenerateKey()
	server := serve(t, db.Addr, key, 0)
	b := newBrowser(t, server)
	b.post(server, "/login", "user", "ada")
	require.NoError(t, db.Client().Save(t.Context()).Err())
	db.Kill()
	resp, _ := b.get(server)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Empty(t, resp.Cookies(), "an outage is no logout")
	db.Start()
	db.WaitReady()
	_, body := b.get(server)
	require.Contains(t, body, "The basket of ada")

	// The program is deployed with a wrong key, and that is put right.
	wrong := serve(t, db.Addr, encrypt.GenerateKey(), 0)
	resp, _ = b.get(wrong)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	_, body = b.get(serve(t, db.Addr, key, 0))
	require.Contains(t, body, "The basket of ada")
}

// With TLS, a user of Redis who may do little, a replica, and what was read kept.
func TestProduction(t *testing.T) {
	db := redistest.TLS(t)
	host, port, err := net.SplitHostPort(db.Addr)
	require.NoError(t, err)
	redistest.Single(t, "--replicaof", host+" "+port)
	require.NoError(t, db.Client().Do(t.Context(), "ACL", "SETUSER", "sessions", "on", ">secret", "~bulla:*",
		"+get", "+set", "+del", "+eval", "+evalsha", "+getrange", "+setrange", "+strlen", "+pexpire", "+pttl", "+time",
		"+client|tracking", "+wait", "+pexpireat", "+pexpiretime").Err())
	redistest.Wait(t, "the replica is in step", func() bool {
		db.Client().Set(t.Context(), "any", "any", 0)
		return db.Client().Wait(t.Context(), 1, 100*time.Millisecond).Val() == 1
	})
	proxy := redistest.NewProxy(t, db.TLSAddr)
	trusted, err := trust(db.CA)
	require.NoError(t, err)
	key := encrypt.GenerateKey()
	open := func() *httptest.Server {
		options := &redis.Options{Addr: proxy.Addr, Username: "sessions", Password: "secret", TLSConfig: trusted, ContextTimeoutEnabled: true}
		return serveWith(t, options, key, settings{track: time.Minute, replicas: 1})
	}
	one, two := open(), open()
	b := newBrowser(t, one)
	b.post(one, "/login", "user", "ada")
	_, body := b.get(two)
	require.Contains(t, body, "The basket of ada")
	redistest.Wait(t, "the process reads from its memory", func() bool {
		before := proxy.RoundTrips()
		_, body := b.get(two)
		require.Contains(t, body, "The basket of ada")
		return proxy.RoundTrips() == before
	})
	b.post(one, "/logout", "", "")
	redistest.Wait(t, "the logout reaches the other process", func() bool {
		_, body := b.get(two)
		return strings.Contains(body, "Your basket")
	})
}

func TestCookieCache(t *testing.T) {
	for name, cache := range map[string]time.Duration{"off": 0, "on": time.Hour} {
		t.Run(name, func(t *testing.T) {
			proxy := redistest.NewProxy(t, redistest.Single(t).Addr)
			server := serve(t, proxy.Addr, encrypt.GenerateKey(), cache)
			b := newBrowser(t, server)
			b.post(server, "/login", "user", "ada")
			b.get(server)
			before := proxy.RoundTrips()
			for range 5 {
				_, body := b.get(server)
				require.Contains(t, body, "The basket of ada")
			}
			want := int64(5)
			if cache > 0 {
				want = 0
			}
			require.Equal(t, want, proxy.RoundTrips()-before)
		})
	}
}

// A request that is under way when the program is told to end finishes, and its
// session is in Redis.
func TestShutdown(t *testing.T) {
	db := redistest.Single(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, listener, &redis.Options{Addr: db.Addr}, encrypt.GenerateKey(), settings{}) }()

	// The handler asks for the form with "100 Continue", and is kept waiting.
	waits := make(chan struct{})
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(waits) }})
	form, write := io.Pipe()
	r, err := http.NewRequestWithContext(trace, http.MethodPost, "http://"+listener.Addr().String()+"/items", form)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Expect", "100-continue")
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	answers := make(chan *http.Response, 1)
	go func() {
		resp, _ := transport.RoundTrip(r)
		answers <- resp
	}()
	<-waits
	end()
	redistest.Wait(t, "no new connection is accepted", func() bool {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	io.WriteString(write, "item=tea")
	write.Close()

	resp := <-answers
	require.NotNil(t, resp)
	defer resp.Body.Close()
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.NoError(t, <-ended)
	require.EqualValues(t, 1, db.Client().DBSize(t.Context()).Val())
}

func TestListenerFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	err = run(t.Context(), listener, &redis.Options{Addr: "127.0.0.1:1"}, encrypt.GenerateKey(), settings{})
	require.ErrorIs(t, err, net.ErrClosed, "what ends the server ends the program")
}
