package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// helperVariable makes the test binary another process of the site.
const helperVariable = "BULLA_SSE_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) == "" {
		os.Exit(m.Run())
	}
	if err := help(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// orders say how a process serves the site. They come through a pipe, since they hold
// keys.
type orders struct {
	Redis, Key, Owners    string
	Lifetime, Idle, Every time.Duration
}

// help serves the site until the pipe is closed.
func help(in io.Reader, out io.Writer) error {
	var o orders
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	key, err1 := encrypt.ParseKey(o.Key)
	owners, err2 := encrypt.ParseKey(o.Owners)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: o.Redis})
	defer client.Close()
	store, err := redisstore.New(client)
	if err != nil {
		return err
	}
	handler, err := newHandler(store, 20*time.Millisecond,
		middleware.WithEncryptor(enc), middleware.WithOwners(owners),
		middleware.WithLifetime(o.Lifetime), middleware.WithRolling(o.Idle), middleware.WithWatchInterval(o.Every))
	if err != nil {
		return err
	}
	server := httptest.NewTLSServer(handler)
	fmt.Fprintln(out, server.URL)
	_, err = io.Copy(io.Discard, in)
	return err
}

// start starts a process of the site and returns its address.
func start(t *testing.T, o orders) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // fails only if it has ended already
		cmd.Wait()
	})
	require.NoError(t, json.NewEncoder(in).Encode(o))
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(address)
}

// browser is a client with a cookie jar, which sends a cookie to every port.
type browser struct {
	*http.Client
	t *testing.T
}

func newBrowser(t *testing.T) browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the helpers' certificates
	t.Cleanup(transport.CloseIdleConnections)
	return browser{&http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}, t}
}

// post sends a form and returns the page that follows.
func (b browser) post(site, path string) string {
	b.t.Helper()
	resp, err := b.PostForm(site+path, url.Values{"user": {"ada"}})
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, resp.StatusCode, string(body))
	return string(body)
}

// stream is an open stream.
type stream struct {
	t     *testing.T
	lines *bufio.Reader
	close context.CancelFunc
}

// open opens a stream and waits for its first event.
func (b browser) open(site string) *stream {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/events", nil)
	require.NoError(b.t, err)
	resp, err := b.Do(r)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, resp.StatusCode)
	require.Equal(b.t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &stream{b.t, bufio.NewReader(resp.Body), cancel}
	require.Equal(b.t, "data: 1", s.line())
	return s
}

func (s *stream) line() string {
	s.t.Helper()
	for {
		text, err := s.lines.ReadString('\n')
		require.NoError(s.t, err)
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
}

// end reads until the stream ends and returns what it says of that.
func (s *stream) end() string {
	s.t.Helper()
	rest, err := io.ReadAll(s.lines)
	require.NoError(s.t, err, "the server ends the stream")
	_, last, ok := strings.Cut(string(rest), "event: end\ndata: ")
	require.True(s.t, ok, "the stream says nothing of its end: %q", rest)
	return strings.TrimSpace(last)
}

// Real processes that know of each other only through Redis.
func TestEndsElsewhere(t *testing.T) {
	server := redistest.Single(t)
	o := orders{
		Redis: server.Addr, Key: encrypt.GenerateKey().ExportSecret(), Owners: encrypt.GenerateKey().ExportSecret(),
		Lifetime: time.Hour, Idle: time.Hour, Every: 200 * time.Millisecond,
	}
	here, away := start(t, o), start(t, o)

	for path, says := range map[string]string{
		"/logout":            "You have logged out.",
		"/logout-everywhere": "You were logged out everywhere.",
	} {
		for _, site := range []string{here, away} {
			b := newBrowser(t)
			require.Contains(t, b.post(here, "/login"), "ada")
			first, second := b.open(here), b.open(away)
			b.post(site, path)
			began := time.Now()
			require.Equal(t, says, first.end())
			require.Equal(t, says, second.end())
			t.Logf("%s: both streams ended after %v", path, time.Since(began).Round(time.Millisecond))
			resp, err := b.Get(here + "/events")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "EventSource gives up")
		}
	}

	// A new ID is no end; what follows it is.
	b := newBrowser(t)
	b.post(here, "/login")
	s := b.open(here)
	b.post(away, "/login")
	for range 50 {
		require.Contains(t, s.line(), "data: ")
	}
	b.post(away, "/logout")
	require.Equal(t, "You have logged out.", s.end())

	// An outage is none either.
	b.post(here, "/login")
	s = b.open(here)
	server.Freeze()
	for range 50 {
		require.Contains(t, s.line(), "data: ")
	}
	server.Thaw()
	b.post(away, "/logout")
	require.Equal(t, "You have logged out.", s.end())
}

// The stream of who does nothing else ends, however lively it is.
func TestTimes(t *testing.T) {
	server := redistest.Single(t)
	o := orders{
		Redis: server.Addr, Key: encrypt.GenerateKey().ExportSecret(), Owners: encrypt.GenerateKey().ExportSecret(),
		Lifetime: time.Hour, Idle: 2 * time.Second, Every: 200 * time.Millisecond,
	}
	idle := start(t, o)
	o.Lifetime = 3 * time.Second
	dead := start(t, o)

	b := newBrowser(t)
	began := time.Now()
	b.post(idle, "/login")
	s := b.open(idle)
	require.Equal(t, "Your session has expired.", s.end())
	require.Greater(t, time.Since(began), time.Second)

	began = time.Now()
	b.post(dead, "/login")
	s = b.open(dead)
	done := make(chan struct{})
	go func() { // use does not help
		defer close(done)
		for range 20 {
			if resp, err := b.Get(dead + "/"); err == nil {
				resp.Body.Close()
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	require.Equal(t, "Your session has expired.", s.end())
	require.Greater(t, time.Since(began), 2*time.Second)
	<-done
}

// One process, without any server.
func TestEndsHere(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store, time.Millisecond, middleware.WithOwners(encrypt.GenerateKey()))
	require.NoError(t, err)
	site := httptest.NewTLSServer(handler)
	t.Cleanup(site.Close)

	b := newBrowser(t)
	resp, err := b.Get(site.URL + "/events")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	require.Contains(t, b.post(site.URL, "/login"), "ada")
	first, second := b.open(site.URL), b.open(site.URL)
	first.close()
	require.NotContains(t, b.post(site.URL, "/logout"), "ada")
	require.Equal(t, "You have logged out.", second.end())

	other := newBrowser(t)
	b.post(site.URL, "/login")
	other.post(site.URL, "/login")
	third := b.open(site.URL)
	other.post(site.URL, "/logout-everywhere")
	require.Equal(t, "You were logged out everywhere.", third.end())
}
