//go:build unix

package starsessions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
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

// odd is what Go's JSON can't hold, or its sessions can't, as Python's set=… reads it.
var odd = `{"nan": NaN, "inf": [Infinity, {"a": -Infinity}], "half": "\ud800", "\udc00": 1, "": "empty", ` +
	`"big": 1` + "0000000000000000000000000000000000000000" + `, "é": "日本", "roles": ["admin", null, true, 3.25], "` + long + `": "long"}`

var long = strings.Repeat("n", 256)

func TestCase16And17And19Live(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	for _, p := range all(port) {
		t.Run(p.String(), func(t *testing.T) {
			goes, py := p.serve(t, client), p.python(t)
			b := browse(t)

			// Begun there, used here, and back.
			before := b.Do(py, "login=alice&set="+url.QueryEscape(odd)).Metadata["created"]
			if p.Store == "redis" {
				require.InDelta(t, client.PTTL(t.Context(), Prefix+b.Cookie).Val().Seconds(), b.Do(goes, "").Remaining, 2)
			}
			require.Equal(t, "alice", b.Do(goes, "incr=n").Session["user"])
			after := b.Do(py, "")
			require.Equal(t, "日本", after.Session["é"])
			for name, want := range map[string]string{
				"nan": "NaN", "inf": `[Infinity, {"a": -Infinity}]`, "half": `"\ud800"`, `\udc00`: "1", "": `"empty"`, long: `"long"`,
				"big": "1" + strings.Repeat("0", 40), "roles": `["admin", null, true, 3.25]`, "n": "1",
			} {
				require.Contains(t, after.Text, `"`+name+`": `+want)
			}
			require.InDelta(t, before, after.Metadata["created"], 0.002, "the session began there")

			// 60 changes in turn, at random, and none is lost.
			sides := []string{goes, py}
			for i := range 60 {
				side := sides[rand.N(2)]
				require.EqualValues(t, i+2, b.Do(side, "incr=n").Session["n"])
			}

			// A login on each side is seen on the other, and the old ID is dead.
			for i, side := range sides {
				old := browse(t, b.Cookie)
				b.Do(side, "login=bob")
				require.Equal(t, "bob", b.User(sides[1-i]))
				if p.Store == "redis" {
					require.NotEqual(t, old.Cookie, b.Cookie)
					require.Nil(t, old.User(goes))
					require.Nil(t, (browse(t, old.Cookie)).User(py))
				}
			}

			// So is a logout.
			for i, side := range sides {
				b := browse(t)
				b.Do(side, "login=carol")
				kept := b.Cookie
				b.Do(sides[1-i], "incr=n")
				b.Do(sides[1-i], "logout=1")
				require.Empty(t, b.Cookie, "the cookie is gone")
				require.Nil(t, b.User(side))
				if p.Store == "redis" {
					require.Nil(t, (browse(t, kept)).User(side))
					require.Zero(t, client.Exists(t.Context(), Prefix+kept).Val())
				}
			}

			// Begun here.
			b = browse(t)
			b.Do(goes, "login=dave&set="+url.QueryEscape(`{"x":{"y":[1,2]},"é":"日本"}`))
			got := b.Do(py, "")
			require.Equal(t, map[string]any{"user": "dave", "x": map[string]any{"y": []any{1.0, 2.0}}, "é": "日本"}, got.Session)
			require.InDelta(t, time.Now().Unix(), got.Metadata["created"], 5)

			if p.Store == "redis" { // case 19
				client.Persist(t.Context(), Prefix+b.Cookie)
				require.Equal(t, "dave", b.User(goes))
				b.Do(goes, "incr=n")
				require.Positive(t, client.PTTL(t.Context(), Prefix+b.Cookie).Val())
			}
		})
	}
}

// Fixed lifetimes are the browser's matter for starsessions' cookies. Here they are
// enforced.
func TestCase18FixedLifetimeEnds(t *testing.T) {
	p := pair{Store: "cookie", Secret: "secret", Encryptor: "none", Lifetime: 2}
	py, goes := p.python(t), p.serve(t, nil)
	b := browse(t)
	created := b.Do(py, "login=alice").Metadata["created"].(float64)
	end := time.UnixMicro(int64(created * 1e6)).Add(2 * time.Second)
	for time.Now().Before(end.Add(700 * time.Millisecond)) {
		require.Equal(t, "alice", b.Do(py, "").Session["user"], "Python goes on as long as it is used")
		b.Cookie = b.Set.Value // of a client that does not look at Max-Age
		asked := time.Now()
		live := (browse(t, b.Cookie)).User(goes)
		if time.Now().Before(end.Add(-time.Millisecond)) {
			require.Equal(t, "alice", live)
		} else if asked.After(end) {
			require.Nil(t, live)
		}
		time.Sleep(200 * time.Millisecond)
	}
	require.Nil(t, (browse(t, b.Cookie)).User(goes))
}

// A wrong key is the operator's fault and nobody's logout. In Go the answer is 503, and
// nothing is touched. Python sees an empty session, and touches nothing either, until it
// has something to save: that replaces the record.
func TestCase20WrongKey(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	for _, p := range []pair{{Store: "cookie", Encryptor: "fernet"}, {Store: "cookie", Encryptor: "aesgcm"}, {Store: "redis", Encryptor: "fernet"}, {Store: "redis", Encryptor: "aesgcm"}} {
		p.Secret, p.Redis, p.Lifetime = "secret", port, 3600
		p = p.withKey(p.Encryptor, 32)
		wrong := p
		wrong.Lifetime++ // of which the key is made
		wrong = wrong.withKey(p.Encryptor, 32)
		wrong.Lifetime = p.Lifetime
		t.Run(p.String(), func(t *testing.T) {
			b := browse(t)
			goes := p.serve(t, client)
			b.Do(p.python(t), "login=alice")
			kept := b.Cookie
			record := client.Get(t.Context(), Prefix+kept).Val()
			code, _ := b.Try(wrong.serve(t, client), "incr=n")
			require.Equal(t, 503, code)
			require.Nil(t, b.Set)
			require.Equal(t, record, client.Get(t.Context(), Prefix+kept).Val())
			require.Equal(t, "alice", b.User(goes))

			b.Cookie = kept
			require.Empty(t, b.Do(wrong.python(t), "").Session)
			require.Nil(t, b.Set)
			require.Equal(t, record, client.Get(t.Context(), Prefix+kept).Val())
			require.Equal(t, "alice", b.User(goes))
			b.Cookie = kept
			require.Equal(t, map[string]any{"n": 1.0}, b.Do(wrong.python(t), "incr=n").Session)
			code, _ = b.Try(goes, "")
			require.Equal(t, 503, code)
			if p.Store == "redis" {
				require.Equal(t, kept, b.Cookie)
				require.NotEqual(t, record, client.Get(t.Context(), Prefix+kept).Val())
			}
		})
	}
}

// Python takes any ID that a client makes up. Go does not, but can't tell one that
// Python has taken; a login on either side leaves it.
func TestCase21MadeUpIDs(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	p := pair{Store: "redis", Redis: port, Encryptor: "none", Lifetime: 3600}
	py, goes := p.python(t), p.serve(t, client)
	const planted = "0123456789abcdef0123456789abcdef"
	b := browse(t, planted)
	b.Do(goes, "incr=n")
	require.NotEqual(t, planted, b.Cookie)
	require.Zero(t, client.Exists(t.Context(), Prefix+planted).Val())

	b = browse(t, planted)
	b.Do(py, "incr=n")
	require.EqualValues(t, 1, client.Exists(t.Context(), Prefix+planted).Val(), "Python has taken it")
	require.EqualValues(t, 2, b.Do(goes, "incr=n").Session["n"])
	b.Do(goes, "login=alice")
	require.Len(t, b.Cookie, 32)
	require.NotEqual(t, planted, b.Cookie)
	require.Zero(t, client.Exists(t.Context(), Prefix+planted).Val())
	require.Nil(t, (browse(t, planted)).User(goes))

	for _, text := range []string{planted + "0", strings.ToUpper(planted) + "-", "a.b", strings.Repeat("/", 32), "~"} {
		client.Set(t.Context(), Prefix+text, `{"user": "mallory"}`, time.Hour)
		require.Nil(t, (browse(t, text)).User(goes), "an ID that neither side makes")
	}
}

// What we write is read by a few lines of Python with itsdangerous and cryptography,
// and what those write by us: no code of the twin's is in it.
func TestVectorsBothWays(t *testing.T) {
	exe := interoptest.FindPython(t, "itsdangerous", "cryptography")
	server, port := newRedis(t)
	client := server.Client()
	list := all(port)
	browsers, records := make([]*interoptest.Browser, len(list)), make([]string, len(list))
	var lines bytes.Buffer
	for i, p := range list {
		browsers[i] = browse(t)
		browsers[i].Do(p.serve(t, client), "login=alice&set="+url.QueryEscape(`{"é":["日本"]}`))
		records[i] = browsers[i].Cookie
		if p.Store == "redis" {
			records[i] = base64.StdEncoding.EncodeToString([]byte(client.Get(t.Context(), Prefix+browsers[i].Cookie).Val()))
		}
		require.NoError(t, json.NewEncoder(&lines).Encode([]string{p.Store, p.Secret, p.Encryptor, p.Key, records[i]}))
	}
	cmd := exec.CommandContext(t.Context(), exe, "testdata/resign.py")
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = &lines, &log
	out, err := cmd.Output()
	require.NoError(t, err, log.String())
	answers := strings.Fields(string(out))
	require.Len(t, answers, len(list))
	for i, p := range list {
		b := browsers[i]
		if b.Cookie = answers[i]; p.Store == "redis" {
			data, err := base64.StdEncoding.DecodeString(answers[i])
			require.NoError(t, err)
			b.Cookie = "0123456789abcdef0123456789abcdef"
			require.NoError(t, client.Set(t.Context(), Prefix+b.Cookie, data, time.Hour).Err())
		}
		require.Equal(t, map[string]any{"user": "alice", "é": []any{"日本"}, "python": "was here"}, b.Do(p.serve(t, client), "").Session, p)
	}
}
