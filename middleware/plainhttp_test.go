package middleware_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
)

// A developer who opens the program by the machine's address is told why no login holds.
func TestPlainHTTPIsToldOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		host   string
		header string // name: value
		tls    bool
		opts   []middleware.Option
		warns  bool
	}{
		"an address":           {host: "192.168.1.7:8080", warns: true},
		"a name":               {host: "example.com", warns: true},
		"IPv6":                 {host: "[2001:db8::1]:8080", warns: true},
		"a name like it":       {host: "localhost.example.com", warns: true},
		"proxy over HTTP":      {host: "example.com", header: "X-Forwarded-Proto: http", warns: true},
		"TLS":                  {host: "example.com", tls: true},
		"a proxy":              {host: "example.com", header: "X-Forwarded-Proto: https"},
		"a chain of proxies":   {host: "example.com", header: "X-Forwarded-Proto: https, http"},
		"Forwarded":            {host: "example.com", header: "Forwarded: for=192.0.2.1;proto=https"},
		"a silent proxy":       {host: "example.com", header: "Sec-Fetch-Site: none"},
		"localhost":            {host: "localhost:8080"},
		"below localhost":      {host: "App.Localhost:8080"},
		"127.0.0.1":            {host: "127.0.0.1:8080"},
		"127.8.9.1":            {host: "127.8.9.1"},
		"::1":                  {host: "[::1]:8080"},
		"::1 without a port":   {host: "[::1]"},
		"knows what it does":   {host: "example.com", opts: []middleware.Option{middleware.WithInsecureHTTP()}},
		"no host":              {host: "", warns: true},
		"a name with dot":      {host: "localhost."},
		"a host that is empty": {host: ":8080", warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			h := memory(t).new(t, append(tt.opts, middleware.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))...).Handler(count)
			for range 3 {
				req := httptest.NewRequest("GET", "/", nil)
				req.Host = tt.host
				if tt.tls {
					req.TLS = new(tls.ConnectionState)
				}
				if name, value, ok := strings.Cut(tt.header, ": "); ok {
					req.Header.Set(name, value)
				}
				require.Len(t, record(h, req).Header["Set-Cookie"], 1)
			}
			want := 0
			if tt.warns {
				want = 1
			}
			require.Equal(t, want, strings.Count(log.String(), "over plain HTTP"), log.String())
		})
	}
}

// Without WithLogger it is said all the same, by the program's own log; and not by a
// request that gets no cookie.
func TestPlainHTTPIsToldWithoutLogger(t *testing.T) {
	var log lockedBuffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	mw := memory(t).new(t)
	req := httptest.NewRequest(http.MethodGet, "http://10.0.0.1/", nil)
	record(mw.Handler(peek), req)
	require.Empty(t, log.String())
	record(mw.Handler(count), req)
	require.Contains(t, log.String(), "over plain HTTP")
	require.Contains(t, log.String(), "host=10.0.0.1")
}
