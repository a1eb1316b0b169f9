//go:build unix

package integration_test

import (
	"crypto/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// request is one kind of request.
type request struct {
	opts   []middleware.Option
	before []handle            // requests of the same browser that came first
	ended  bool                // another browser has ended the session since
	cookie func(string) string // what is sent instead of the browser's cookie
	among  handle              // another browser's request, while this one has the session loaded
	do     handle              // nil: the session is not loaded
	commit bool                // the handler calls sessions.Commit
}

func login(s *sessions.Session) error {
	if err := s.Regenerate(); err != nil {
		return err
	}
	return user.Set(s, "someone")
}

func peek(s *sessions.Session) error {
	s.Peek()
	return look(s)
}

func plainRequests() map[string]request {
	same := setUser("someone")
	begun := []handle{count}
	unknown := func(string) string { return rand.Text() + "abcdef" } // 32 characters
	return map[string]request{
		"no cookie, session untouched":               {},
		"no cookie, new session left empty":          {do: look},
		"no cookie, first save":                      {do: count},
		"cookie, session untouched":                  {before: begun},
		"read":                                       {before: begun, do: look},
		"read, autoloaded":                           {before: begun, opts: []middleware.Option{middleware.WithAutoload()}},
		"set to the same value":                      {before: []handle{same}, do: same},
		"rolling read, no touch due":                 {before: begun, opts: rolling(time.Minute), do: look},
		"rolling read, touch due":                    {before: begun, opts: rolling(0), do: look},
		"rolling Peek, touch due":                    {before: begun, opts: rolling(0), do: peek},
		"change":                                     {before: begun, do: count},
		"change of a rolling session, touch due":     {before: begun, opts: rolling(0), do: count},
		"change, another came between":               {before: begun, do: count, among: count},
		"login, new ID for the session":              {before: begun, do: login},
		"logout":                                     {before: begun, do: logout},
		"session that is unknown, read":              {before: begun, cookie: unknown, do: look},
		"session that was ended, read":               {before: begun, ended: true, do: look},
		"session that was ended, first save of next": {before: begun, ended: true, do: count},
		"malformed cookie, read":                     {cookie: func(string) string { return "no session" }, do: look},
		"forged ID, with signed IDs": {
			opts:   []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())},
			before: begun,
			cookie: func(signed string) string { return unknown("") + signed[idSize:] },
			do:     look,
		},
	}
}

func cachedRequests() map[string]request {
	fresh := []middleware.Option{middleware.WithCookieCache(time.Hour)}
	stale := []middleware.Option{middleware.WithCookieCache(time.Nanosecond)}
	begun := []handle{count}
	return map[string]request{
		"no cookie, first save":                        {opts: fresh, do: count},
		"cookie, session untouched":                    {opts: fresh, before: begun},
		"fresh copy, read":                             {opts: fresh, before: begun, do: look},
		"fresh copy, rolling read, no touch due":       {opts: rolling(time.Minute, fresh...), before: begun, do: look},
		"fresh copy, rolling read, touch due":          {opts: rolling(0, fresh...), before: begun, do: look},
		"fresh copy, rolling Peek, touch due":          {opts: rolling(0, fresh...), before: begun, do: peek},
		"stale copy, rolling Peek, touch due":          {opts: rolling(0, stale...), before: begun, do: peek},
		"fresh copy, change":                           {opts: fresh, before: begun, do: count},
		"fresh copy, change, another came between":     {opts: fresh, before: begun, do: count, among: count},
		"fresh copy, read, then sessions.Commit":       {opts: fresh, before: begun, do: look, commit: true},
		"fresh copy, login, new ID for the session":    {opts: fresh, before: begun, do: login},
		"fresh copy, logout":                           {opts: fresh, before: begun, do: logout},
		"fresh copy of a session that was ended, read": {opts: fresh, before: begun, ended: true, do: look},
		"fresh copy of a session that was ended, change": {
			opts: fresh, before: begun, ended: true, do: count,
		},
		"stale copy, read":   {opts: stale, before: begun, do: look},
		"stale copy, change": {opts: stale, before: begun, do: count},
		"stale copy, logout": {opts: stale, before: begun, do: logout},
		"no copy, read":      {opts: fresh, before: begun, cookie: func(c string) string { return c[:idSize] }, do: look},
	}
}

func rolling(touch time.Duration, more ...middleware.Option) []middleware.Option {
	return append(more, middleware.WithRolling(time.Hour), middleware.WithTouchInterval(touch))
}

// docs/costs.md says what every kind of request costs. It is the test's table of
// what must be, so that it can't drift.
func TestCosts(t *testing.T) {
	doc, err := os.ReadFile("../../docs/costs.md")
	require.NoError(t, err)
	plain, rest, ok := strings.Cut(string(doc), "\n## With a cookie cache\n")
	require.True(t, ok)
	cached, _, ok := strings.Cut(rest, "\n## ")
	require.True(t, ok)
	for _, table := range []struct {
		text     string
		requests map[string]request
	}{{plain, plainRequests()}, {cached, cachedRequests()}} {
		costs := parseCosts(t, table.text)
		for name := range costs {
			require.Contains(t, table.requests, name, "the document has a request that is not counted")
		}
		redis, firestore := redisMeter(t), firestoreMeter(t)
		for name, r := range table.requests {
			t.Run(name, func(t *testing.T) {
				require.Contains(t, costs, name, "the document lacks a request")
				require.Equal(t, costs[name][:1], redis.of(t, r), "round trips to Redis")
				require.Equal(t, costs[name][1:], firestore.of(t, r), "reads, writes and deletes in Firestore")
			})
		}
	}
}

// figures are a row of the tables, or those of one store in it: round trips;
// reads, writes and deletes.
type figures []string

func parseCosts(t *testing.T, text string) map[string]figures {
	t.Helper()
	costs := make(map[string]figures)
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "request" {
			continue
		}
		name := strings.ReplaceAll(cells[0], "`", "")
		require.Len(t, cells, 5, name)
		require.NotContains(t, costs, name)
		costs[name] = cells[1:]
	}
	require.NotEmpty(t, costs)
	return costs
}

// meter counts what is asked of a store.
type meter struct {
	store stores.Store
	read  func() []int64
}

func redisMeter(t testing.TB) meter {
	proxy := redistest.NewProxy(t, redistest.Single(t).Addr)
	b := redisBackend(t, newRedisClient(t, &redis.Options{Addr: proxy.Addr, PoolSize: 1}))
	m := meter{b.store, func() []int64 { return []int64{proxy.RoundTrips()} }}
	for _, r := range plainRequests() {
		m.of(t, r) // the server learns the scripts
	}
	return m
}

func firestoreMeter(t testing.TB) meter {
	b, server := firestoreServer(t)
	return meter{b.store, func() []int64 {
		c := server.Counts()
		return []int64{int64(c.Reads), int64(c.Writes), int64(c.Deletes)}
	}}
}

// of returns what r costs.
func (m meter) of(t testing.TB, r request) figures {
	t.Helper()
	mw, err := middleware.New(m.store, append(r.opts[:len(r.opts):len(r.opts)], middleware.WithEncryptor(ring(t)))...)
	require.NoError(t, err)
	b := new(browser)
	for _, do := range r.before {
		b.must(t, mw, do)
	}
	other := b.clone()
	if r.ended {
		other.must(t, mw, logout)
	}
	if r.cookie != nil {
		b.cookie = r.cookie(b.cookie)
	}
	end := time.Now().Add(2 * time.Millisecond)
	redistest.Wait(t, "a touch is due", func() bool { return time.Now().After(end) })

	cost := make([]int64, len(m.read()))
	add := func(sign int64) {
		for i, n := range m.read() {
			cost[i] += sign * n
		}
	}
	add(-1)
	a := b.serve(mw, func(req *http.Request) error {
		if r.do == nil {
			return nil
		}
		s, err := sessions.Load(req.Context())
		if err != nil {
			return err
		}
		if r.among != nil {
			add(+1)
			other.must(t, mw, r.among)
			add(-1)
		}
		if err := r.do(s); err != nil || !r.commit {
			return err
		}
		return sessions.Commit(req.Context())
	})
	add(+1)
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status)

	var f figures
	for _, n := range cost {
		f = append(f, strconv.FormatInt(n, 10))
	}
	return f
}
