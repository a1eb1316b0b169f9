//go:build unix

package integration_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// A process that starts while much has ended already: what it loads, and what it asks
// after that. BULLA_SOAK=1 has a million entries.
func TestLongList(t *testing.T) {
	n := 10_000
	if os.Getenv("BULLA_SOAK") == "1" {
		n = 1_000_000
	}
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	newList := func(addr string) *redisstore.Revocations {
		list, err := redisstore.NewRevocations(newRedisClient(t, &redis.Options{Addr: addr}))
		require.NoError(t, err)
		return list
	}
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	const every = time.Second
	process := func(list stores.RevocationList, every time.Duration) *middleware.Middleware {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithOwners(key),
			middleware.WithRevocation(ctx, list, every))
		require.NoError(t, err)
		return mw
	}
	request := func(mw *middleware.Middleware, cookie *http.Cookie, f func(*http.Request, *sessions.Session) error) (status int, owner string, sent *http.Cookie) {
		r, w := httptest.NewRequest("GET", "https://example.com/", nil), httptest.NewRecorder()
		if cookie != nil {
			r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		}
		mw.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			owner = s.Owner()
			return f(r, s)
		}).ServeHTTP(w, r)
		if all := w.Result().Cookies(); len(all) > 0 {
			sent = all[0]
		}
		return w.Code, owner, sent
	}
	login := func(r *http.Request, s *sessions.Session) error { return s.SetOwner(r.Context(), "ada") }
	look := func(*http.Request, *sessions.Session) error { return nil }

	one := process(newList(server.Addr), every)
	_, _, cookie := request(one, nil, login)
	_, _, kept := request(one, nil, login)
	status, _, _ := request(one, cookie, func(_ *http.Request, s *sessions.Session) error { s.Destroy(); return nil })
	require.Equal(t, http.StatusOK, status)

	fill(t, server.Client(), n)
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	time.Sleep(2 * every) // the first process has read it all
	before, turns := heap(), proxy.RoundTrips()

	began := time.Now()
	two := process(newList(proxy.Addr), time.Minute) // so that the first reading is the only one
	var wait time.Duration
	for { // at a million a request may be told to come again
		status, owner, _ := request(two, cookie, look)
		if wait = time.Since(began); status == http.StatusOK {
			require.Empty(t, owner, "a session that has ended lives at a process that starts")
			break
		}
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Less(t, wait, 2*time.Minute)
	}
	_, owner, _ := request(two, kept, look)
	require.Equal(t, "ada", owner)
	turns = proxy.RoundTrips() - turns
	t.Logf("a process serves its first request %v after it started; %d round trips", wait.Round(time.Millisecond), turns)
	require.Less(t, turns, int64(n/2000+n/20_000+20)) // everybody's number, the script, the client's greeting, and what a busy machine repeats
	each := float64(heap()-before) / float64(n)
	t.Logf("%.1f bytes for each in memory, and in Redis %s in all", each, usedMemory(t, server))
	if n >= 1_000_000 {
		require.Less(t, each, 80.0)
	}

	// What a reading costs on the server, and here, when little is new.
	list := newList(server.Addr)
	cursor := stores.Cursor("")
	for {
		page, err := list.Since(t.Context(), cursor)
		require.NoError(t, err)
		if cursor = page.Next; !page.More {
			break
		}
	}
	began = time.Now()
	const readings = 200
	for range readings {
		_, err := list.Get(t.Context(), stores.Key{})
		require.NoError(t, err)
		_, err = list.Since(t.Context(), cursor)
		require.NoError(t, err)
	}
	t.Logf("a reading of nothing new takes %v", (time.Since(began) / readings).Round(time.Microsecond))
}

// fill writes n ends into the list, by the bytes that docs/format.md gives.
func fill(t *testing.T, client *redis.Client, n int) {
	t.Helper()
	const name, life = "bulla:{revoked}", 24 * time.Hour
	until := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(life).UnixMilli()))
	longest := binary.BigEndian.AppendUint64(nil, uint64(life.Milliseconds()))
	require.NoError(t, client.HSet(t.Context(), name, "longest", longest).Err())
	for done := 0; done < n; done += 1000 {
		_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for range 1000 {
				key := make([]byte, 24)
				rand.Read(key)
				value := append(slices.Clone(until), 'E')
				p.HSet(t.Context(), name, key, value)
				p.XAdd(t.Context(), &redis.XAddArgs{Stream: name + ":log", Values: []any{"e", append(key, value...)}})
			}
			return nil
		})
		require.NoError(t, err)
	}
}

func usedMemory(t *testing.T, server *redistest.Server) string {
	t.Helper()
	info, err := server.Client().InfoMap(t.Context(), "memory").Result()
	require.NoError(t, err)
	return fmt.Sprint(info["Memory"]["used_memory_human"])
}
