//go:build unix

package starsessions

import (
	"context"
	"fmt"
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

// What Python reads it saves. With its own store that undoes what Go has changed
// meanwhile; with the one of python/cas_store.py it does not.
func TestCase23PythonReads(t *testing.T) {
	server, port := newRedis(t)
	stock := pair{Store: "redis", Redis: port, Lifetime: 3600}.withKey("none", 0)
	cas := stock
	cas.Store = "cas"
	there := python(t, stock, cas)
	for _, p := range []pair{stock, cas} {
		goes, py := p.serve(t, server.Client()), there(p)
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
	stock := pair{Store: "redis", Redis: port, Lifetime: 3600}.withKey("fernet", 32)
	cas := stock
	cas.Store = "cas"
	there := python(t, stock, cas)
	for _, p := range []pair{stock, cas} {
		goes, py := p.serve(t, server.Client()), there(p)
		b := browse(t)
		b.Do(py, "login=alice")
		kept := b.Cookie
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			(browse(t, kept)).Try(py, "sleep=1")
		}()
		time.Sleep(300 * time.Millisecond)
		b.Do(goes, "logout=1")
		<-slow
		require.Nil(t, (browse(t, kept)).User(goes))
		back := (browse(t, kept)).User(py)
		if p.Store == "cas" {
			require.Nil(t, back)
			require.Zero(t, server.Client().Exists(t.Context(), Prefix+kept).Val())
			continue
		}
		require.Equal(t, "alice", back, "the stock store has undone the logout, on the Python side")
		server.Client().Del(t.Context(), fmt.Sprintf("{%s%s}:bulla", Prefix, kept)) // ten minutes later
		require.Equal(t, "alice", (browse(t, kept)).User(goes), "and on this side, when the note is gone")
	}
}

// The reply of a save is lost: it is counted once all the same. Two processes that write
// equal values do not take each other's write for their own.
func TestCase25LostReply(t *testing.T) {
	server, port := newRedis(t)
	proxy := redistest.NewProxy(t, server.Addr)
	p := pair{Store: "redis", Redis: port, Lifetime: 3600, Encryptor: "none"}
	lossy := redis.NewClient(&redis.Options{Addr: proxy.Addr, MaxRetries: -1})
	t.Cleanup(func() { lossy.Close() })
	goes := p.serve(t, lossy)
	b := browse(t)
	b.Do(p.serve(t, server.Client()), "login=alice")
	for i := range 10 {
		// The load's reply comes, the save's does not: the handler sleeps in between.
		done := make(chan struct{})
		before := proxy.RoundTrips()
		go func() {
			defer close(done)
			for proxy.RoundTrips() == before { // a new connection's greeting, or the load itself
				time.Sleep(time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			proxy.Lose(1)
		}()
		require.EqualValues(t, i+1, b.Do(goes, "incr=n&sleep=0.4").Session["n"])
		<-done
	}
	require.EqualValues(t, 10, proxy.Lost())
	require.EqualValues(t, 10, b.Do(goes, "").Session["n"])

	var conflicts atomic.Int32
	hooks := middleware.WithHooks(sessions.Hooks{Conflict: func(_ context.Context, _ sessions.Event) { conflicts.Add(1) }})
	one, two := p.serve(t, server.Client(), hooks), p.serve(t, server.Client(), hooks)
	require.Equal(t, 2, crowd(t, b.Cookie, "incr=m&sleep=0.3", 1, one, two))
	require.EqualValues(t, 2, b.Do(one, "").Session["m"])
	require.EqualValues(t, 1, conflicts.Load())
}
