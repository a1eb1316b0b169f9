//go:build unix

package aiohttpsession

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

var key = []byte("Thirty  two  length  bytes  key.") // of its documentation

func browse(t testing.TB, cookie ...string) *interoptest.Browser {
	b := &interoptest.Browser{T: t, Name: CookieName}
	for _, c := range cookie {
		b.Cookie = c
	}
	return b
}

func serve(t testing.TB, store *Store, maxAge time.Duration, opts ...middleware.Option) string {
	mw, err := New(store, Config{MaxAge: maxAge}, opts...)
	require.NoError(t, err)
	server := httptest.NewServer(mw.HandlerFunc(interoptest.Act))
	t.Cleanup(server.Close)
	return server.URL
}

func newRedis(t testing.TB, addr string) *Store {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	store, err := Redis(client)
	require.NoError(t, err)
	return store
}

// aiohttp-session's own code on the other side.
func TestCase16And17And19Live(t *testing.T) {
	exe := interoptest.FindPython(t, "aiohttp_session", "cryptography", "redis")
	server := redistest.Single(t)
	client := server.Client()
	port, err := strconv.Atoi(server.Addr[strings.LastIndexByte(server.Addr, ':')+1:])
	require.NoError(t, err)
	text := base64.URLEncoding.EncodeToString(key)
	arg, err := json.Marshal(map[string]map[string]any{
		"cookie-aged":    {"store": "cookie", "redis": port, "key": text, "max_age": 3600},
		"cookie-ageless": {"store": "cookie", "redis": port, "key": text, "max_age": nil},
		"redis-aged":     {"store": "redis", "redis": port, "max_age": 3600},
		"redis-ageless":  {"store": "redis", "redis": port, "max_age": nil},
	})
	require.NoError(t, err)
	base := interoptest.Python(t, exe, "testdata/app.py", string(arg))
	for _, name := range []string{"cookie-aged", "cookie-ageless", "redis-aged", "redis-ageless"} {
		t.Run(name, func(t *testing.T) {
			store, err := EncryptedCookie(key)
			held := strings.HasPrefix(name, "redis")
			if held {
				store = newRedis(t, server.Addr)
			}
			require.NoError(t, err)
			maxAge := time.Duration(0)
			if strings.HasSuffix(name, "aged") {
				maxAge = time.Hour
			}
			goes, py := serve(t, store, maxAge), base+"/"+name
			b := browse(t)
			b.Do(py, "login=alice&set="+url.QueryEscape(`{"nan": NaN, "half": "\ud800", "": 1, "é": "日本"}`))
			if held {
				require.Equal(t, maxAge == 0, client.TTL(t.Context(), Prefix+b.Cookie).Val() < 0)
			}
			require.Equal(t, "alice", b.Do(goes, "").Session["user"])
			require.Nil(t, b.Set, "a read changes nothing")
			require.Equal(t, "alice", b.Do(goes, "incr=n").Session["user"])
			if held { // case 19
				require.Positive(t, client.TTL(t.Context(), Prefix+b.Cookie).Val())
			}
			after := b.Do(py, "").Text
			require.Contains(t, after, `"nan": NaN`)
			require.Contains(t, after, `"half": "\ud800"`)
			require.Contains(t, after, `"": 1`)
			for i := range 60 {
				require.EqualValues(t, i+2, b.Do([]string{py, goes}[mathrand.N(2)], "incr=n").Session["n"])
			}

			kept := b.Cookie
			b.Do(goes, "login=bob")
			require.Equal(t, "bob", b.User(py))
			if held {
				require.NotEqual(t, kept, b.Cookie)
				require.Nil(t, browse(t, kept).User(py))
				require.Nil(t, browse(t, kept).User(goes))
			}
			for _, side := range []string{py, goes} {
				b := browse(t)
				b.Do(py, "login=carol")
				b.Do(goes, "incr=n")
				kept := b.Cookie
				b.Do(side, "logout=1")
				require.Empty(t, b.Cookie)
				if held {
					require.Nil(t, browse(t, kept).User(py))
					require.Nil(t, browse(t, kept).User(goes))
				}
			}

			b = browse(t)
			b.Do(goes, "login=dave&set="+url.QueryEscape(`{"x":{"y":[1,2]},"é":"日本"}`))
			require.Equal(t, map[string]any{"user": "dave", "x": map[string]any{"y": []any{1.0, 2.0}}, "é": "日本"}, b.Do(py, "").Session)
		})
	}
}

// What Python does beside Go. It saves only what has changed, so its reads undo nothing;
// and it saves without looking, so of two changes at once its own stays, and one that
// crosses a logout brings the session back, for Python. Go remembers the end.
func TestPythonBesideGo(t *testing.T) {
	exe := interoptest.FindPython(t, "aiohttp_session", "cryptography", "redis")
	server := redistest.Single(t)
	client := server.Client()
	port, err := strconv.Atoi(server.Addr[strings.LastIndexByte(server.Addr, ':')+1:])
	require.NoError(t, err)
	text := base64.URLEncoding.EncodeToString(key)
	arg, err := json.Marshal(map[string]map[string]any{
		"cookie": {"store": "cookie", "redis": port, "key": text, "max_age": 3600},
		"redis":  {"store": "redis", "redis": port, "max_age": 3600},
	})
	require.NoError(t, err)
	base := interoptest.Python(t, exe, "testdata/app.py", string(arg))
	slow := func(py, cookie, query string, beside func()) *interoptest.Browser {
		name := rand.Text()
		b := browse(t, cookie)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Try(py, "hold="+name+query)
		}()
		require.NoError(t, client.BLPop(t.Context(), 30*time.Second, name+":there").Err())
		beside()
		require.NoError(t, client.RPush(t.Context(), name+":go", 1).Err())
		<-done
		return b
	}

	goes, py := serve(t, newRedis(t, server.Addr), time.Hour), base+"/redis"
	b := browse(t)
	b.Do(py, "login=alice&incr=n")
	change := func() { b.Do(goes, "incr=n") }
	slow(py, b.Cookie, "", change)
	require.EqualValues(t, 2, b.Do(py, "").Session["n"], "a read undoes nothing")
	slow(py, b.Cookie, "&incr=other", change)
	require.Equal(t, map[string]any{"user": "alice", "n": 2.0, "other": 1.0}, b.Do(goes, "").Session, "the change in Go is lost")
	kept := b.Cookie
	slow(py, kept, "&incr=other", func() { b.Do(goes, "logout=1") })
	require.Equal(t, "alice", browse(t, kept).User(py))
	require.Nil(t, browse(t, kept).User(goes))

	store, err := EncryptedCookie(key)
	require.NoError(t, err)
	goes, py = serve(t, store, time.Hour), base+"/cookie"
	b = browse(t)
	b.Do(py, "login=alice")
	last := slow(py, b.Cookie, "&incr=n", func() { b.Do(goes, "incr=n") })
	require.EqualValues(t, 1, last.Do(goes, "").Session["n"], "in a cookie the last response wins")
}

// A session ends max_age after its last change; reading it does not count.
func TestMaxAgeCountsFromTheLastChange(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	cookies, err := EncryptedCookie(key)
	require.NoError(t, err)
	var places sync.WaitGroup
	for name, store := range map[string]*Store{"cookie": cookies, "redis": newRedis(t, server.Addr)} {
		goes := serve(t, store, 2*time.Second)
		b := browse(t)
		b.Do(goes, "login=alice")
		begun := time.Now()
		places.Go(func() {
			for {
				asked := time.Since(begun)
				who := b.User(goes)
				if time.Since(begun) < 900*time.Millisecond && who != "alice" || asked > 3*time.Second && who != nil {
					t.Errorf("%s: %v after %v", name, who, asked)
				}
				if asked > 3*time.Second {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	places.Wait()
	// Redis may keep it for longer than that: created is what counts.
	goes := serve(t, newRedis(t, server.Addr), time.Hour)
	const id = "12f1834681ae40c6bbede30efc6cdbad"
	for created, want := range map[int64]any{time.Now().Unix() - 3500: "alice", time.Now().Unix() - 3700: nil, 0: nil} {
		client.Set(t.Context(), Prefix+id, `{"created": `+strconv.FormatInt(created, 10)+`, "session": {"user": "alice"}}`, time.Hour)
		require.Equal(t, want, browse(t, id).User(goes), created)
	}
	client.Set(t.Context(), Prefix+id, "{}", time.Hour)
	require.Nil(t, browse(t, id).User(goes))

	// A change begins the time anew, for Redis and the cookie too.
	for _, query := range []string{"", "incr=n"} {
		client.Set(t.Context(), Prefix+id, `{"created": `+strconv.FormatInt(time.Now().Unix()-600, 10)+`, "session": {"user": "alice"}}`, 50*time.Minute)
		b := browse(t, id)
		b.Do(goes, query)
		if query == "" {
			require.LessOrEqual(t, client.PTTL(t.Context(), Prefix+id).Val(), 50*time.Minute)
			require.Nil(t, b.Set)
		} else {
			require.InDelta(t, time.Hour, client.PTTL(t.Context(), Prefix+id).Val(), float64(10*time.Second))
			require.InDelta(t, 3600, b.Set.MaxAge, 10)
		}
	}
}

// Changes at once in two processes: none is lost, and none is counted twice, though
// replies are. Who can't know answers 503.
func TestCase22And25(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	one, two := serve(t, newRedis(t, server.Addr), time.Hour), serve(t, newRedis(t, proxy.Addr), time.Hour)
	b := browse(t)
	b.Do(one, "login=alice")
	count := func(times int, bases ...string) (ok, unknown int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, base := range bases {
			all.Go(func() {
				for range times {
					code, body := browse(t, b.Cookie).Try(base, "incr=n")
					mu.Lock()
					switch code {
					case 200:
						ok++
					case 503:
						unknown++
					default:
						t.Errorf("%d %s", code, body)
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return ok, unknown
	}
	ok, unknown := count(50, one, two, one, two)
	require.Equal(t, 200, ok)
	require.Zero(t, unknown)
	require.EqualValues(t, 200, b.Do(one, "").Session["n"])

	proxy.LoseEvery(7)
	ok, unknown = count(25, one, two, one, two)
	proxy.LoseEvery(0)
	n := int(b.Do(one, "").Session["n"].(float64)) - 200
	t.Logf("%d replies lost: %d acknowledged, %d unknown, %d counted", proxy.Lost(), ok, unknown, n)
	require.Positive(t, proxy.Lost())
	require.Equal(t, 100, ok+unknown)
	require.True(t, ok <= n && n <= ok+unknown)
}

func TestCase35Refusals(t *testing.T) {
	store, err := EncryptedCookie(key)
	require.NoError(t, err)
	for text, c := range map[string]struct {
		store  *Store
		maxAge time.Duration
		opts   []middleware.Option
	}{
		"the store is nil": {nil, 0, nil},
		"store is nil":     {new(Store), 0, nil},
		"whole seconds":    {store, time.Millisecond, nil},
		"in whole":         {store, -time.Second, nil},
		"WithSignedIDs":    {store, 0, []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		"WithCookieCache":  {store, 0, []middleware.Option{middleware.WithCookieCache(time.Minute)}},
		"WithOwners":       {store, 0, []middleware.Option{middleware.WithOwners(encrypt.GenerateKey())}},
	} {
		_, err := New(c.store, Config{MaxAge: c.maxAge}, c.opts...)
		require.ErrorIs(t, err, sessions.ErrConfig, text)
		require.ErrorContains(t, err, text)
	}
	for _, keys := range [][][]byte{nil, {nil}, {make([]byte, 31)}, {key, key}} {
		_, err := EncryptedCookie(keys...)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	}
	_, err = Redis(nil)
	require.Error(t, err)
}

// Read alone, for a move elsewhere.
func TestReader(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	cookies, err := EncryptedCookie(key)
	require.NoError(t, err)
	for name, store := range map[string]*Store{"cookie": cookies, "redis": newRedis(t, server.Addr)} {
		b := browse(t)
		b.Do(serve(t, store, time.Hour), "login=alice")
		r, err := NewReader(store, Config{MaxAge: time.Hour}, time.Time{})
		require.NoError(t, err)
		got, err := r.Read(t.Context(), b.Cookie)
		require.NoError(t, err)
		require.Equal(t, `"alice"`, string(got.Values["user"]))
		require.WithinDuration(t, time.Now(), got.Changed, 5*time.Second)
		_, err = r.Read(t.Context(), "12f1834681ae40c6bbede30efc6cdbad")
		require.ErrorIs(t, err, migrate.ErrNone)
		require.NoError(t, r.Retire(t.Context(), b.Cookie))
		if name == "redis" {
			require.LessOrEqual(t, client.PTTL(t.Context(), Prefix+b.Cookie).Val(), migrate.Grace)
			client.Set(t.Context(), Prefix+b.Cookie, "{}", 0)
			_, err = r.Read(t.Context(), b.Cookie)
			require.ErrorIs(t, err, migrate.ErrNone)
		}
		late, err := NewReader(store, Config{MaxAge: time.Hour}, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		_, err = late.Read(t.Context(), b.Cookie)
		require.ErrorIs(t, err, migrate.ErrNone)
	}
	_, err = NewReader(nil, Config{}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
}
