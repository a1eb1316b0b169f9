package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// browser is a client with a cookie jar, and the server that it talks to.
type browser struct {
	*http.Client
	t     *testing.T
	url   string
	store *together
	ended chan struct{} // one for each stream whose handler has returned
}

// together is a store in which a number of loads wait for each other.
type together struct {
	*memstore.Store
	left atomic.Int32
	met  sync.WaitGroup
}

// Place implements [stores.Store]: this is the server that is asked.
func (s *together) Place() stores.Place {
	p := s.Store.Place()
	p.Server = s
	return p
}

func (s *together) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	rec, err := s.Store.Load(ctx, key, fresh)
	if s.left.Add(-1) >= 0 {
		s.met.Done()
		s.met.Wait()
	}
	return rec, err
}

func newBrowser(t *testing.T) browser {
	memory, err := memstore.New()
	require.NoError(t, err)
	store := &together{Store: memory}
	handler, err := newHandler(store, time.Millisecond)
	require.NoError(t, err)
	ended := make(chan struct{}, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if r.URL.Path == "/events" {
			ended <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := server.Client()
	client.Jar = jar
	client.Timeout = 20 * time.Second // a stream that should end and does not
	return browser{client, t, server.URL, store, ended}
}

// stream opens a stream and returns its response, a reader of its lines, and
// what closes it and waits for the handler.
func (b browser) stream() (*http.Response, *bufio.Reader, func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/events", nil)
	require.NoError(b.t, err)
	resp, err := b.Do(r)
	require.NoError(b.t, err)
	return resp, bufio.NewReader(resp.Body), func() {
		cancel()
		resp.Body.Close()
		<-b.ended
	}
}

func (b browser) state() string {
	resp, err := b.Get(b.url + "/state")
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return string(body)
}

func line(t *testing.T, r *bufio.Reader) string {
	for {
		text, err := r.ReadString('\n')
		require.NoError(t, err)
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
}

func TestStream(t *testing.T) {
	b := newBrowser(t)
	resp, lines, end := b.stream()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Len(t, resp.Header["Set-Cookie"], 1, "the new session's cookie comes with the headers")
	require.Equal(t, "data: 1", line(t, lines))
	require.Equal(t, "data: 2", line(t, lines))
	require.True(t, strings.HasPrefix(b.state(), "1 open, "), "other requests see the stream while it runs")
	require.NotContains(t, b.state(), " 0 seen", "and how far it is")
	end()

	after := b.state()
	require.True(t, strings.HasPrefix(after, "0 open, "), "what changed at the stream's end is stored: %s", after)

	// The next stream goes on where this one was, with the same cookie.
	seen, _, _ := strings.Cut(strings.TrimPrefix(after, "0 open, "), " ")
	resp, lines, end = b.stream()
	defer end()
	require.Empty(t, resp.Header["Set-Cookie"])
	require.NotEqual(t, "data: 1", line(t, lines))
	require.NotEqual(t, "data: "+seen, line(t, lines))
}

func TestLimit(t *testing.T) {
	b := newBrowser(t)
	_, first, end1 := b.stream()
	line(t, first)
	_, second, end2 := b.stream()
	line(t, second)

	resp, _, end3 := b.stream()
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
	end3()

	end1()
	resp, _, end4 := b.stream()
	require.Equal(t, http.StatusOK, resp.StatusCode, "a closed stream makes room")
	end4()
	end2()
	require.True(t, strings.HasPrefix(b.state(), "0 open, "))
}

func TestLimitOfStreamsThatBeginTogether(t *testing.T) {
	b := newBrowser(t)
	_, lines, end := b.stream()
	line(t, lines)
	end()

	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var granted atomic.Int32
	b.store.met.Add(5)
	b.store.left.Store(5)
	for range 5 {
		all.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/events", nil)
			if resp, err := b.Do(r); err == nil && resp.StatusCode == http.StatusOK {
				granted.Add(1) // its body stays open, and so does the stream
			}
		})
	}
	all.Wait()
	cancel()
	require.EqualValues(t, maxOpen, granted.Load())
}

func TestLogoutEndsTheStream(t *testing.T) {
	b := newBrowser(t)
	_, lines, end := b.stream()
	line(t, lines)

	resp, err := b.Post(b.url+"/logout", "", nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "0 open, 0 seen\n", string(body))

	rest, err := io.ReadAll(lines)
	require.NoError(t, err, "the server ends the stream")
	require.Contains(t, string(rest), "event: logout")
	end()
	require.Equal(t, "0 open, 0 seen\n", b.state(), "the stream's end does not bring the session back")
}
