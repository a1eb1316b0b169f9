package middleware_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	visits = sessions.Key[int]("visits")
	user   = sessions.Key[string]("user")
	text   = sessions.Key[string]("text")
)

const cookieName = "__Host-Http-session"

// setup is a store with the options that it needs.
type setup struct {
	name  string
	store stores.Store
	mem   *memstore.Store // nil where the client holds the sessions
	opts  []middleware.Option
}

func memory(t testing.TB) setup {
	store, err := memstore.New()
	require.NoError(t, err)
	return setup{"memory", store, store, nil}
}

func sealed(t testing.TB) setup {
	return setup{"sealed cookie", cookiestore.Sealed(), nil, []middleware.Option{middleware.WithEncryptor(ring(t, encrypt.GenerateKey()))}}
}

func signed(t testing.TB) setup {
	store, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	return setup{"signed cookie", store, nil, nil}
}

// setups are the two ways to hold a session: the client has it, or the server.
func setups(t testing.TB) []setup { return []setup{sealed(t), memory(t)} }

func (s setup) new(t testing.TB, opts ...middleware.Option) *middleware.Middleware {
	t.Helper()
	mw, err := middleware.New(s.store, append(slices.Clone(s.opts), opts...)...)
	require.NoError(t, err)
	return mw
}

func ring(t testing.TB, keys ...encrypt.Key) *encrypt.Keyring {
	r, err := encrypt.NewAESGCM(keys...)
	require.NoError(t, err)
	return r
}

// count answers with the number of visits, after it has counted this one.
var count = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, n)
})

// peek answers with the number of visits and changes nothing.
var peek = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	n, err := visits.GetOr(s, 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, n)
})

// session is Load where it can't fail; it panics instead, which the server
// reports.
func session(r *http.Request) *sessions.Session {
	s, err := sessions.Load(r.Context())
	if err != nil {
		panic(err)
	}
	return s
}

func increment(s *sessions.Session) {
	if _, err := visits.Update(s, func(n int) int { return n + 1 }); err != nil {
		panic(err)
	}
}

// incrementLate is increment where it may be too late; who does not look at the
// error hears of it in the log.
func incrementLate(s *sessions.Session) {
	_, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil && !errors.Is(err, sessions.ErrTooLate) {
		panic(err)
	}
}

// site is a real server over TLS, and a client with a cookie jar.
type site struct {
	*httptest.Server
	t      testing.TB
	client *http.Client
	log    *lockedBuffer // what the server complains of
}

func serve(t testing.TB, h http.Handler) *site { return serveProto(t, h, false) }

func serveProto(t testing.TB, h http.Handler, http2 bool) *site {
	s := &site{Server: httptest.NewUnstartedServer(h), t: t, log: new(lockedBuffer)}
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(s.log, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	s.client = s.newClient()
	return s
}

// newClient is another browser.
func (s *site) newClient() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &http.Client{
		Transport:     s.Client().Transport,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// ours are the answer's lines that set or remove our cookie.
func (a answer) ours() []string { return oursIn(a.Header) }

func oursIn(h http.Header) (lines []string) {
	for _, line := range h["Set-Cookie"] {
		if strings.HasPrefix(line, cookieName+"=") {
			lines = append(lines, line)
		}
	}
	return lines
}

// value is the value that the only line sets.
func (a answer) value(t testing.TB) string {
	t.Helper()
	require.Len(t, a.ours(), 1)
	value, _, _ := strings.Cut(strings.TrimPrefix(a.ours()[0], cookieName+"="), ";")
	return value
}

func (s *site) do(req *http.Request) answer {
	s.t.Helper()
	resp, err := s.client.Do(req)
	require.NoError(s.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	resp.Body.Close()
	return answer{resp, string(body)}
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.do(s.request(path))
}

func (s *site) request(path string) *http.Request {
	return mustGet(s.t, s.URL+path)
}

// held is what the jar would send.
func (s *site) held() string {
	u, err := url.Parse(s.URL)
	require.NoError(s.t, err)
	for _, c := range s.client.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

// ask serves one request in this process, with these values of our cookie.
func ask(h http.Handler, path string, values ...string) answer {
	req := httptest.NewRequest("GET", "https://example.com"+path, nil)
	for _, v := range values {
		req.Header.Add("Cookie", cookieName+"="+v)
	}
	return record(h, req)
}

func record(h http.Handler, req *http.Request) answer {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return answer{rec.Result(), rec.Body.String()}
}

func mustGet(t testing.TB, target string) *http.Request {
	t.Helper()
	req, err := http.NewRequest("GET", target, nil)
	require.NoError(t, err)
	return req
}

// events records what the hooks are told.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) add(name string) func(context.Context, sessions.Event) {
	return func(_ context.Context, ev sessions.Event) {
		if ev.Reason != "" {
			name := name + ": " + string(ev.Reason)
			e.mu.Lock()
			defer e.mu.Unlock()
			e.seen = append(e.seen, name)
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.seen = append(e.seen, name)
	}
}

func (e *events) option() middleware.Option {
	return middleware.WithHooks(sessions.Hooks{
		Loaded: e.add("loaded"), Created: e.add("created"), Saved: e.add("saved"), Touched: e.add("touched"),
		Conflict: e.add("conflict"), Regenerated: e.add("regenerated"), Destroyed: e.add("destroyed"), Revoked: e.add("revoked"), Ended: e.add("ended"),
		Rejected: e.add("rejected"), LateChange: e.add("late"), Refused: e.add("refused"), StoreError: e.add("store error"),
	})
}

// take returns what was seen and forgets it.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen
	e.seen = nil
	return seen
}

var errDown = errors.New("connection refused")

// flaky counts the calls of the server beneath, and fails while down is set. As a
// server behind a network does, it gives up with its context.
type flaky struct {
	stores.Store
	down              atomic.Bool
	loads, saves, put atomic.Int64
}

// Place puts the counting between, where there is a server.
func (f *flaky) Place() stores.Place { return between(f.Store, f) }

// between returns the place of a store with another server.
func between(store stores.Store, server stores.Server) stores.Place {
	p := store.Place()
	if p.Server != nil {
		p.Server = server
	}
	return p
}

func (f *flaky) server() stores.Server { return f.Store.Place().Server }

func (f *flaky) calls() int64 { return f.loads.Load() + f.saves.Load() + f.put.Load() }

func (f *flaky) fail(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.down.Load() {
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, errDown)
	}
	return nil
}

func (f *flaky) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	f.loads.Add(1)
	if err := f.fail(ctx); err != nil {
		return stores.Record{}, err
	}
	return f.server().Load(ctx, key, fresh)
}

func (f *flaky) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	f.saves.Add(1)
	if err := f.fail(ctx); err != nil {
		return "", err
	}
	return f.server().Save(ctx, key, rec)
}

func (f *flaky) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	f.put.Add(1)
	if err := f.fail(ctx); err != nil {
		return err
	}
	return f.server().Put(ctx, key, rec)
}

// unknown is the cookie of a session that nobody has.
func unknown() string {
	var id [24]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}
