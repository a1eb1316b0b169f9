package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
)

var shown = regexp.MustCompile(`<p>(\w+), visit (\d+)</p>`)

// counted counts the commands that go to the old sessions.
type counted struct{ n atomic.Int64 }

func (c *counted) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A thousand users who are logged in with scs move while they work. Nobody is logged
// out, nobody is two people, and after Until there are only deletions.
func TestAThousandUsers(t *testing.T) {
	const (
		users   = 1000
		workers = 16
	)
	s := newSite(t)
	s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 2 * workers
	name := func(i int) string { return fmt.Sprintf("user%d", i) }
	all := func(do func(i int)) {
		var wg sync.WaitGroup
		var next atomic.Int64
		for range workers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < users && !t.Failed(); i = int(next.Add(1)) - 1 {
					do(i)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	var requests, moved atomic.Int64
	// see makes a request and returns which visit it was. The page must be i's own.
	see := func(i int, b *http.Client) int {
		resp, err := b.Get(s.URL)
		requests.Add(1)
		body := read(t, resp, err)
		found := shown.FindStringSubmatch(body)
		if found == nil || found[1] != name(i) {
			t.Errorf("%s sees %q", name(i), body)
			return 0
		}
		n, _ := strconv.Atoi(found[2])
		return n
	}

	browsers := make([]*http.Client, users)
	kept := make([][]*http.Cookie, users)
	all(func(i int) {
		browsers[i] = s.browser(t)
		resp, err := browsers[i].PostForm(s.URL+"/login", url.Values{"user": {name(i)}})
		read(t, resp, err)
		kept[i] = browsers[i].Jar.Cookies(s.url())
	})

	// They work on, and in the middle of it the application is replaced.
	old := redis.NewClient(&redis.Options{Addr: s.client.Options().Addr})
	t.Cleanup(func() { old.Close() })
	asked := new(counted)
	old.AddHook(asked)
	key := encrypt.GenerateKey()
	started := time.Now()
	last := make([]int, users)
	var reached atomic.Int64
	for round := range 6 {
		all(func(i int) {
			b := browsers[i]
			if round == 2 && reached.Add(1) == users/2 {
				s.move(t, old, key, time.Now().Add(time.Hour))
			}
			old := slices.Contains(s.cookies(b), "session")
			switch {
			case i%5 == 0 && round == 3, i%5 == 2 && round == 2: // a page whose parts are loaded at once
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() { see(i, b) })
				}
				wg.Wait()
				last[i] = see(i, b)
			case i%5 == 1 && round == 3: // a browser that loses the answer, and asks again
				lost := s.browser(t, b.Jar.Cookies(s.url())...)
				see(i, lost)
				last[i] = see(i, b)
			default:
				n := see(i, b)
				if round > 0 && n != last[i]+1 {
					t.Errorf("%s: visit %d after %d", name(i), n, last[i])
				}
				last[i] = n
			}
			now := s.cookies(b)
			if len(now) != 1 {
				t.Errorf("%s has %v", name(i), now)
			}
			if old && !slices.Contains(now, "session") {
				moved.Add(1)
			}
		})
	}
	took := time.Since(started)
	require.EqualValues(t, users, moved.Load())

	// What they had is about to end, and nothing of scs's came after.
	keys, err := s.client.Keys(t.Context(), "scs:session:*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		left, err := s.client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.LessOrEqual(t, left, time.Minute, "an old record that was not retired")
	}

	// Half of them log out, and somebody has kept their old cookies: the minute is over.
	for _, key := range keys {
		require.NoError(t, s.client.Del(t.Context(), key).Err())
	}
	all(func(i int) {
		if i%2 == 0 {
			resp, err := browsers[i].PostForm(s.URL+"/logout", nil)
			require.NotRegexp(t, shown, read(t, resp, err))
		}
		if body := s.get(t, s.browser(t, kept[i]...)); shown.MatchString(body) {
			t.Errorf("replayed: %q", body)
		}
	})

	// After Until the old cookies are deleted, and nobody asks what they were. What they
	// named might be there again.
	s.move(t, old, key, time.Now())
	before := asked.n.Load()
	all(func(i int) {
		b := s.browser(t, kept[i]...)
		if i%2 == 1 {
			b = browsers[i]
			b.Jar.SetCookies(s.url(), kept[i])
			see(i, b)
			if names := s.cookies(b); len(names) != 1 || names[0] == "session" {
				t.Errorf("%s has %v", name(i), names)
			}
			return
		}
		resp, err := b.Get(s.URL)
		if body := read(t, resp, err); shown.MatchString(body) {
			t.Errorf("after Until: %q", body)
		}
		if lines := resp.Header["Set-Cookie"]; len(lines) != 1 || len(s.cookies(b)) != 0 {
			t.Errorf("after Until: %d lines, cookies %v", len(lines), s.cookies(b))
		}
	})
	require.Equal(t, before, asked.n.Load(), "the old sessions were asked for after Until")
	t.Logf("%d users, %d requests in %v, %d commands to the old sessions", users, requests.Load(), took.Round(time.Millisecond), before)
}
