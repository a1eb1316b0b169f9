//go:build unix

package starsessions

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// crowd lets n users of one session act at once, some times each, and returns how many
// of the acts succeeded.
func crowd(t *testing.T, cookie, query string, times int, bases ...string) int {
	var ok atomic.Int32
	var all sync.WaitGroup
	for _, base := range bases {
		all.Go(func() {
			b := browse(t)
			for range times {
				b.Cookie = cookie
				if code, _ := b.Try(base, query); code == 200 {
					ok.Add(1)
				}
			}
		})
	}
	all.Wait()
	return int(ok.Load())
}

// Eight requests at a time, in two processes, and nothing is lost.
func TestCase22GoAlone(t *testing.T) {
	server, port := newRedis(t)
	p := pair{Store: "redis", Redis: port, Lifetime: 3600}.withKey("aesgcm", 32)
	one, two := p.serve(t, server.Client()), p.serve(t, server.Client())
	b := browse(t)
	b.Do(one, "login=alice")
	got := crowd(t, b.Cookie, "incr=n", 50, one, two, one, two, one, two, one, two)
	require.Equal(t, 400, got)
	require.EqualValues(t, 400, b.Do(one, "").Session["n"])
}

// slow lets Python load a session, then does something beside it, and lets Python answer,
// which saves what it has loaded.
func slow(t *testing.T, client *redis.Client, base, cookie string, beside func()) {
	t.Helper()
	name := rand.Text()
	done := make(chan struct{})
	go func() {
		defer close(done)
		browse(t, cookie).Try(base, "hold="+name)
	}()
	require.NoError(t, client.BLPop(t.Context(), 30*time.Second, name+":there").Err())
	beside()
	require.NoError(t, client.RPush(t.Context(), name+":go", 1).Err())
	<-done
}

// savers are the ways in which Python can save; undoes tells which of them undo what
// others wrote since it read. In a BaseHTTPMiddleware the store of python/cas_store.py
// can't tell, and is as Python's own.
func savers(port int) map[pair]bool {
	p := pair{Redis: port, Lifetime: 3600}.withKey("fernet", 32)
	stock, cas, between := p, p, p
	stock.Store, cas.Store, between.Store, between.Between = "redis", "cas", "cas", true
	return map[pair]bool{stock: true, cas: false, between: true}
}

// What Python reads it saves: a read undoes a change that was made in Go meanwhile.
func TestCase23APythonRead(t *testing.T) {
	server, port := newRedis(t)
	for p, undoes := range savers(port) {
		goes, py := p.serve(t, server.Client()), p.python(t)
		b := browse(t)
		b.Do(py, "login=alice&incr=n")
		require.EqualValues(t, 2, b.Do(py, "incr=n").Session["n"], "alone it loses nothing")
		slow(t, server.Client(), py, b.Cookie, func() {
			require.EqualValues(t, 3, b.Do(goes, "incr=n").Session["n"])
		})
		want := 3
		if undoes {
			want = 2
		}
		for _, side := range []string{goes, py} {
			require.EqualValues(t, want, b.Do(side, "").Session["n"], p)
		}
		require.Equal(t, "alice", b.User(goes))
	}
}

// So under load; with the store of python/cas_store.py nothing is lost.
func TestCase23PythonReads(t *testing.T) {
	server, port := newRedis(t)
	stock := pair{Store: "redis", Redis: port, Lifetime: 3600}.withKey("none", 0)
	cas := stock
	cas.Store = "cas"
	for _, p := range []pair{stock, cas} {
		goes, py := p.serve(t, server.Client()), p.python(t)
		b := browse(t)
		b.Do(goes, "login=alice")
		stop := make(chan struct{})
		var readers sync.WaitGroup
		var reads atomic.Int32
		for range 2 {
			readers.Go(func() {
				for r := (browse(t)); ; reads.Add(1) {
					select {
					case <-stop:
						return
					default:
						r.Cookie = b.Cookie
						r.Try(py, "")
					}
				}
			})
		}
		acknowledged := crowd(t, b.Cookie, "incr=n&sleep=0.005", 50, goes, goes, goes, goes)
		close(stop)
		readers.Wait()
		require.Equal(t, 200, acknowledged)
		n := int(b.Do(goes, "").Session["n"].(float64))
		t.Logf("%s: %d changes acknowledged, %d counted, beside %d reads by Python", p.Store, acknowledged, n, reads.Load())
		require.Greater(t, reads.Load(), int32(5))
		if p.Store == "cas" {
			require.Equal(t, acknowledged, n)
		} else {
			require.LessOrEqual(t, n, acknowledged)
		}
	}
}

// A logout in Go while Python is at work on the session. Python's own store brings it
// back, for Python; Go remembers the end beside it, for ten minutes. With the other store
// it is over everywhere.
func TestCase24LogoutBesideASlowRequest(t *testing.T) {
	server, port := newRedis(t)
	for p, undoes := range savers(port) {
		goes, py := p.serve(t, server.Client()), p.python(t)
		b := browse(t)
		b.Do(py, "login=alice")
		kept := b.Cookie
		slow(t, server.Client(), py, kept, func() { b.Do(goes, "logout=1") })
		require.Nil(t, browse(t, kept).User(goes))
		back := browse(t, kept).User(py)
		if !undoes {
			require.Nil(t, back)
			require.Zero(t, server.Client().Exists(t.Context(), Prefix+kept).Val())
			continue
		}
		require.Equal(t, "alice", back, "the logout is undone, on the Python side")
		note := fmt.Sprintf("{%s%s}:bulla", Prefix, kept)
		require.InDelta(t, 10*time.Minute, server.Client().PTTL(t.Context(), note).Val(), float64(time.Minute))
		server.Client().Del(t.Context(), note) // ten minutes later
		require.Equal(t, "alice", browse(t, kept).User(goes), "and on this side, when the note is gone")
	}
}

// The reply of a save is lost: it is counted once all the same. Two processes that write
// equal values do not take each other's write for their own.
func TestCase25LostReply(t *testing.T) {
	server, port := newRedis(t)
	proxy := redistest.NewProxy(t, server.Addr)
	p := pair{Store: "redis", Redis: port, Lifetime: 3600, Encryptor: "none"}
	direct := p.serve(t, server.Client())
	lossy := redis.NewClient(&redis.Options{Addr: proxy.Addr, MaxRetries: -1})
	t.Cleanup(func() { lossy.Close() })
	count := sessions.Key[int]("n")
	lost := httptest.NewServer(p.middleware(t, lossy).HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		if _, err := count.Get(s); err != nil { // loaded
			return err
		}
		proxy.Lose(1)
		_, err := count.Update(s, func(n int) int { return n + 1 })
		return err
	}))
	t.Cleanup(lost.Close)
	b := browse(t)
	b.Do(direct, "login=alice&incr=n")
	for i := range 10 {
		code, _ := b.Try(lost.URL, "")
		require.Equal(t, 200, code)
		require.EqualValues(t, i+1, proxy.Lost())
		require.EqualValues(t, i+2, b.Do(direct, "").Session["n"])
	}

	var conflicts atomic.Int32
	hooks := middleware.WithHooks(sessions.Hooks{Conflict: func(_ context.Context, _ sessions.Event) { conflicts.Add(1) }})
	var both sync.WaitGroup
	both.Add(2)
	meet := func() string {
		server := httptest.NewServer(p.middleware(t, server.Client(), hooks).HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
			_, err := count.Update(s, func(n int) int { return n + 1 })
			both.Done()
			both.Wait()
			return err
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	require.Equal(t, 2, crowd(t, b.Cookie, "", 1, meet(), meet()))
	require.EqualValues(t, 13, b.Do(direct, "").Session["n"])
	require.EqualValues(t, 1, conflicts.Load())
}
