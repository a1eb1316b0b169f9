//go:build unix

package starsessions

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/interop/internal/interoptest"
)

// all are the 18 combinations.
func all(port int) (list []pair) {
	for _, store := range []string{"cookie", "redis"} {
		for i, mode := range []pair{{Lifetime: 3600}, {Lifetime: 3600, Rolling: true}, {}} {
			mode.Store, mode.Secret, mode.Redis = store, "sécret", port
			list = append(list, mode.withKey("none", 0), mode.withKey("fernet", 32), mode.withKey("aesgcm", 16+8*i))
		}
	}
	return list
}

// odd is what Go's JSON can't hold, as Python's set=… reads it.
const odd = `{"nan": NaN, "inf": [Infinity, {"a": -Infinity}], "half": "\ud800", "\udc00": 1, "": "empty", ` +
	`"big": 1` + "0000000000000000000000000000000000000000" + `, "é": "日本", "roles": ["admin", null, true, 3.25]}`

func TestCase16And17And19Live(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	pairs := all(port)
	there := python(t, pairs...)
	for _, p := range pairs {
		t.Run(p.String(), func(t *testing.T) {
			goes, py := p.serve(t, client), there(p)
			b := &browser{t: t}

			// Begun there, used here, and back.
			before := b.do(py, "login=alice&set="+url.QueryEscape(odd+"")).Metadata["created"]
			if p.Store == "redis" {
				require.InDelta(t, client.PTTL(t.Context(), Prefix+b.cookie).Val().Seconds(), b.do(goes, "").Remaining, 2)
			}
			require.Equal(t, "alice", b.do(goes, "incr=n").Session["user"])
			after := b.do(py, "")
			require.Equal(t, "日本", after.Session["é"])
			for name, want := range map[string]string{
				"nan": "NaN", "inf": `[Infinity, {"a": -Infinity}]`, "half": `"\ud800"`, `\udc00`: "1", "": `"empty"`,
				"big": "1" + strings.Repeat("0", 40), "roles": `["admin", null, true, 3.25]`, "n": "1",
			} {
				require.Contains(t, after.text, `"`+name+`": `+want)
			}
			require.InDelta(t, before, after.Metadata["created"], 0.002, "the session began there")

			// 60 changes in turn, at random, and none is lost.
			sides := []string{goes, py}
			for i := range 60 {
				side := sides[rand.N(2)]
				require.EqualValues(t, i+2, b.do(side, "incr=n").Session["n"])
			}

			// A login on each side is seen on the other, and the old ID is dead.
			for i, side := range sides {
				old := &browser{t: t, cookie: b.cookie}
				b.do(side, "login=bob")
				require.Equal(t, "bob", b.user(sides[1-i]))
				if p.Store == "redis" {
					require.NotEqual(t, old.cookie, b.cookie)
					require.Nil(t, old.user(goes))
					require.Nil(t, (&browser{t: t, cookie: old.cookie}).user(py))
				}
			}

			// So is a logout.
			for i, side := range sides {
				b := &browser{t: t}
				b.do(side, "login=carol")
				kept := b.cookie
				b.do(sides[1-i], "incr=n")
				b.do(sides[1-i], "logout=1")
				require.Empty(t, b.cookie, "the cookie is gone")
				require.Nil(t, b.user(side))
				if p.Store == "redis" {
					require.Nil(t, (&browser{t: t, cookie: kept}).user(side))
					require.Zero(t, client.Exists(t.Context(), Prefix+kept).Val())
				}
			}

			// Begun here.
			b = &browser{t: t}
			b.do(goes, "login=dave&set="+url.QueryEscape(`{"x":{"y":[1,2]},"é":"日本"}`))
			got := b.do(py, "")
			require.Equal(t, map[string]any{"user": "dave", "x": map[string]any{"y": []any{1.0, 2.0}}, "é": "日本"}, got.Session)
			require.InDelta(t, time.Now().Unix(), got.Metadata["created"], 5)

			if p.Store == "redis" { // case 19
				client.Persist(t.Context(), Prefix+b.cookie)
				require.Equal(t, "dave", b.user(goes))
				b.do(goes, "incr=n")
				require.Positive(t, client.PTTL(t.Context(), Prefix+b.cookie).Val())
			}
		})
	}
}

// Fixed lifetimes are the browser's matter for starsessions' cookies. Here they are
// enforced.
func TestCase18FixedLifetimeEnds(t *testing.T) {
	p := pair{Store: "cookie", Secret: "secret", Encryptor: "none", Lifetime: 3}
	py, goes := python(t, p)(p), p.serve(t, nil)
	b := &browser{t: t}
	created := b.do(py, "login=alice").Metadata["created"].(float64)
	end := time.UnixMicro(int64(created * 1e6)).Add(3 * time.Second)
	for time.Now().Before(end.Add(700 * time.Millisecond)) {
		require.Equal(t, "alice", b.do(py, "").Session["user"], "Python goes on as long as it is used")
		b.cookie = b.set.Value // of a client that does not look at Max-Age
		asked := time.Now()
		live := (&browser{t: t, cookie: b.cookie}).user(goes)
		if time.Now().Before(end.Add(-time.Millisecond)) {
			require.Equal(t, "alice", live)
		} else if asked.After(end) {
			require.Nil(t, live)
		}
		time.Sleep(300 * time.Millisecond)
	}
	require.Nil(t, (&browser{t: t, cookie: b.cookie}).user(goes))
}

// A wrong key is the operator's fault and nobody's logout.
func TestCase20WrongKey(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	var pairs []pair
	for _, store := range []string{"cookie", "redis"} {
		p := pair{Store: store, Secret: "secret", Redis: port, Lifetime: 3600}
		pairs = append(pairs, p.withKey("fernet", 32), p.withKey("aesgcm", 32))
	}
	there := python(t, pairs...)
	for _, p := range pairs {
		t.Run(p.String(), func(t *testing.T) {
			b := &browser{t: t}
			b.do(there(p), "login=alice")
			kept := b.cookie
			record := client.Get(t.Context(), Prefix+kept).Val()
			other := p
			other.Lifetime++ // of which the key is made
			goes := other.withKey(p.Encryptor, 32)
			goes.Lifetime = p.Lifetime
			code, _ := b.try(goes.serve(t, client), "incr=n")
			require.Equal(t, 503, code)
			require.Nil(t, b.set)
			require.Equal(t, record, client.Get(t.Context(), Prefix+kept).Val())
			require.Equal(t, "alice", b.user(p.serve(t, client)))
		})
	}
}

// Python takes any ID that a client makes up. Go does not, but can't tell one that
// Python has taken; a login on either side leaves it.
func TestCase21MadeUpIDs(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	p := pair{Store: "redis", Redis: port, Encryptor: "none", Lifetime: 3600}
	py, goes := python(t, p)(p), p.serve(t, client)
	const planted = "0123456789abcdef0123456789abcdef"
	b := &browser{t: t, cookie: planted}
	b.do(goes, "incr=n")
	require.NotEqual(t, planted, b.cookie)
	require.Zero(t, client.Exists(t.Context(), Prefix+planted).Val())

	b = &browser{t: t, cookie: planted}
	b.do(py, "incr=n")
	require.EqualValues(t, 1, client.Exists(t.Context(), Prefix+planted).Val(), "Python has taken it")
	require.EqualValues(t, 2, b.do(goes, "incr=n").Session["n"])
	b.do(goes, "login=alice")
	require.Len(t, b.cookie, 32)
	require.NotEqual(t, planted, b.cookie)
	require.Zero(t, client.Exists(t.Context(), Prefix+planted).Val())
	require.Nil(t, (&browser{t: t, cookie: planted}).user(goes))

	for _, text := range []string{planted + "0", strings.ToUpper(planted) + "-", "a.b", strings.Repeat("/", 32), "~"} {
		client.Set(t.Context(), Prefix+text, `{"user": "mallory"}`, time.Hour)
		require.Nil(t, (&browser{t: t, cookie: text}).user(goes), "an ID that neither side makes")
	}
}

// What we write is read by a few lines of Python with itsdangerous and cryptography,
// and what those write by us: no code of the twin's is in it.
func TestVectorsBothWays(t *testing.T) {
	exe := interoptest.FindPython(t, "itsdangerous", "cryptography")
	for _, p := range all(0) {
		if p.Store != "cookie" {
			continue
		}
		b := &browser{t: t}
		goes := p.serve(t, nil)
		b.do(goes, "login=alice&set="+url.QueryEscape(`{"é":["日本"]}`))
		cmd := exec.CommandContext(context.Background(), exe, "testdata/resign.py", p.Secret, p.Encryptor, p.Key, b.cookie)
		var log bytes.Buffer
		cmd.Stderr = &log
		out, err := cmd.Output()
		require.NoError(t, err, log.String())
		b.cookie = strings.TrimSpace(string(out))
		got := b.do(goes, "").Session
		require.Equal(t, map[string]any{"user": "alice", "é": []any{"日本"}, "python": "was here"}, got)
	}
}
