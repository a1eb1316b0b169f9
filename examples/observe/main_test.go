package main

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// store is a memory store that can fail, and that can make two requests load one
// session before either of them writes it.
type store struct {
	*memstore.Store
	down  atomic.Bool
	meets atomic.Int32 // loads that wait for each other
	met   sync.WaitGroup
}

// Place implements [stores.Store]: this is the server that is asked.
func (s *store) Place() stores.Place {
	p := s.Store.Place()
	p.Server = s
	return p
}

func (s *store) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	if s.down.Load() {
		return stores.Record{}, fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("connection refused"))
	}
	rec, err := s.Store.Load(ctx, key, fresh)
	if s.meets.Add(-1) >= 0 {
		s.met.Done()
		s.met.Wait()
	}
	return rec, err
}

// output is a log that several goroutines write.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func TestCounters(t *testing.T) {
	memory, err := memstore.New()
	require.NoError(t, err)
	st := &store{Store: memory}
	counters, out := new(expvar.Map), new(output)
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler, err := newHandler(st, counters, logger)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	var secrets []string
	do := func(method, path, token string) (*http.Response, string) {
		r, err := http.NewRequest(method, server.URL+path, nil)
		require.NoError(t, err)
		if token != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-Http-session", Value: token})
		}
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}

	_, body := do("GET", "/metrics", "")
	require.Contains(t, body, "# TYPE bulla_events_total counter\n")
	require.Contains(t, body, "bulla_events_total{event=\"loaded\"} 0\n", "counters begin at zero")

	resp, body := do("GET", "/", "") // created
	require.Equal(t, "Visit 1\n", body)
	require.Len(t, resp.Cookies(), 1)
	token := resp.Cookies()[0].Value
	secrets = append(secrets, token)

	_, body = do("GET", "/", token) // loaded, saved
	require.Equal(t, "Visit 2\n", body)

	// Two requests load before either writes: one of them goes on from what the
	// other has written, by way of a conflict where it comes a moment later.
	st.met.Add(2)
	st.meets.Store(2)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			r, err := http.NewRequest("GET", server.URL+"/", nil)
			if err == nil {
				r.AddCookie(&http.Cookie{Name: "__Host-Http-session", Value: token})
				if resp, err := client.Do(r); err == nil {
					resp.Body.Close()
				}
			}
		})
	}
	both.Wait()
	_, body = do("GET", "/", token)
	require.Equal(t, "Visit 5\n", body, "no visit was lost")

	st.down.Store(true)
	resp, _ = do("GET", "/", token)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Empty(t, resp.Cookies())
	st.down.Store(false)

	do("POST", "/logout", token)
	do("GET", "/", token) // unknown: ended
	do("GET", "/", "not-a-token")
	do("GET", "/", "nor-is-this")
	secrets = append(secrets, "not-a-token", "nor-is-this")

	_, body = do("GET", "/metrics", "")
	for series, want := range map[string]int{
		`bulla_events_total{event="loaded"}`:       5,
		`bulla_events_total{event="created"}`:      4, // the rejected ones begin anew
		`bulla_events_total{event="saved"}`:        4,
		`bulla_events_total{event="destroyed"}`:    1,
		`bulla_events_total{event="store_error"}`:  1,
		`bulla_events_total{event="late_change"}`:  0,
		`bulla_rejected_total{reason="ended"}`:     1,
		`bulla_rejected_total{reason="malformed"}`: 2,
	} {
		require.Contains(t, body, fmt.Sprintf("%s %d\n", series, want))
	}

	server.Close() // no request writes the log any more
	logged := out.text.String()
	require.Contains(t, logged, "session store failed")
	require.Contains(t, logged, "connection refused")
	require.Contains(t, logged, "session changed by another request")
	for _, secret := range secrets {
		require.NotContains(t, body, secret)
		require.NotContains(t, logged, secret)
	}
}
