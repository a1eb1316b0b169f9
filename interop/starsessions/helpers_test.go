//go:build unix

package starsessions

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// pair is one configuration, as both sides have it.
type pair struct {
	Store     string `json:"store"` // "cookie", "redis" or, with the store of python/cas_store.py, "cas"
	Encryptor string `json:"encryptor"`
	Key       string `json:"key"`
	Secret    string `json:"secret"`
	Redis     int    `json:"redis"`
	Lifetime  int    `json:"lifetime"`
	Rolling   bool   `json:"rolling"`
}

func (p pair) String() string {
	mode := "fixed"
	if p.Rolling {
		mode = "rolling"
	} else if p.Lifetime == 0 {
		mode = "session-only"
	}
	return p.Store + "-" + p.Encryptor + "-" + mode
}

// withKey returns p with an encryptor and a key for it.
func (p pair) withKey(encryptor string, size int) pair {
	key := make([]byte, size)
	for i := range key {
		key[i] = byte(i*7 + len(p.Store) + p.Lifetime)
	}
	p.Encryptor, p.Key = encryptor, base64.URLEncoding.EncodeToString(key)
	return p
}

func (p pair) sealing(t testing.TB) Encryptor {
	switch p.Encryptor {
	case "fernet":
		e, err := Fernet(p.Key)
		require.NoError(t, err)
		return e
	case "aesgcm":
		key, err := base64.URLEncoding.DecodeString(p.Key)
		require.NoError(t, err)
		e, err := AESGCM(key)
		require.NoError(t, err)
		return e
	}
	return Unencrypted()
}

// middleware returns the Go side.
func (p pair) middleware(t testing.TB, client redis.UniversalClient, opts ...middleware.Option) *middleware.Middleware {
	store, err := Cookie(p.Secret)
	if p.Store != "cookie" {
		store, err = Redis(client)
	}
	require.NoError(t, err)
	mw, err := New(store, Config{Lifetime: time.Duration(p.Lifetime) * time.Second, Rolling: p.Rolling, Encryptor: p.sealing(t)}, opts...)
	require.NoError(t, err)
	return mw
}

// act does in Go what app.py does in Python: what the query says, in its order.
func act(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			return err
		}
		switch name {
		case "incr":
			_, err = sessions.Key[int](value).Update(s, func(n int) int { return n + 1 })
		case "login":
			if err = s.Regenerate(); err == nil {
				err = sessions.Key[string]("user").Set(s, value)
			}
		case "logout":
			s.Destroy()
		case "sleep":
			d, _ := time.ParseDuration(value + "s")
			time.Sleep(d)
		case "set":
			var all map[string]json.RawMessage
			if err = json.Unmarshal([]byte(value), &all); err != nil {
				return err
			}
			for name, value := range all {
				if err = sessions.Key[json.RawMessage](name).Set(s, value); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return err
		}
	}
	if err := sessions.Commit(r.Context()); err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	for _, name := range s.Names() {
		value, err := sessions.Key[json.RawMessage](name).Get(s)
		if err != nil {
			value = json.RawMessage(`"not for Go"`)
		}
		all[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"session": all, "remaining": s.Remaining().Seconds()})
}

// serve runs the Go side.
func (p pair) serve(t testing.TB, client redis.UniversalClient, opts ...middleware.Option) string {
	server := httptest.NewServer(p.middleware(t, client, opts...).HandlerFunc(act))
	t.Cleanup(server.Close)
	return server.URL
}

// python runs the Python side of several pairs, in one process.
func python(t testing.TB, pairs ...pair) func(pair) string {
	exe := interoptest.FindPython(t, "starlette", "uvicorn", "itsdangerous", "cryptography", "redis")
	configs := map[string]pair{}
	for _, p := range pairs {
		configs[p.String()] = p
	}
	require.Len(t, configs, len(pairs))
	arg, err := json.Marshal(configs)
	require.NoError(t, err)
	base := interoptest.Python(t, exe, "testdata/twin/app.py", string(arg), "testdata/twin", "python")
	return func(p pair) string { return base + "/" + p.String() }
}

// browser has one cookie, whatever its attributes.
type browser struct {
	t      testing.TB
	cookie string
	set    *http.Cookie // by the last response, if it did
}

type answer struct {
	Session   map[string]any
	Metadata  map[string]any
	Remaining float64
	text      string
}

// readable makes JSON for Go of Python's.
var readable = strings.NewReplacer("NaN", "0", "-Infinity", "0", "Infinity", "0")

// try asks, and returns the status and the body.
func (b *browser) try(base, query string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest("GET", base+"/?"+query, nil)
	require.NoError(b.t, err)
	if b.cookie != "" {
		req.Header.Set("Cookie", CookieName+"="+b.cookie)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	b.set = nil
	for _, c := range resp.Cookies() {
		if c.Name == CookieName {
			b.set = c
			if b.cookie = c.Value; c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
				b.cookie = ""
			}
		}
	}
	return resp.StatusCode, string(body)
}

// do is try, where all goes well.
func (b *browser) do(base, query string) answer {
	b.t.Helper()
	code, body := b.try(base, query)
	require.Equal(b.t, 200, code, "%s", body)
	a := answer{text: body}
	require.NoError(b.t, json.Unmarshal([]byte(readable.Replace(body)), &a), body)
	return a
}

// user returns who is logged in.
func (b *browser) user(base string) any {
	b.t.Helper()
	return b.do(base, "").Session["user"]
}

// newRedis starts a server and returns a client, and its port.
func newRedis(t testing.TB) (*redistest.Server, int) {
	server := redistest.Single(t)
	var port int
	_, err := fmt.Sscanf(server.Addr[strings.LastIndexByte(server.Addr, ':')+1:], "%d", &port)
	require.NoError(t, err)
	return server, port
}
