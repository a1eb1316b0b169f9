//go:build unix

package starsessions

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/middleware"
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
	Between   bool   `json:"between"` // in Python a BaseHTTPMiddleware is around the handler
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

// serve runs the Go side.
func (p pair) serve(t testing.TB, client redis.UniversalClient, opts ...middleware.Option) string {
	server := httptest.NewServer(p.middleware(t, client, opts...).HandlerFunc(interoptest.Act))
	t.Cleanup(server.Close)
	return server.URL
}

// twin is the one Python process of all tests.
var twin interoptest.Program

func TestMain(m *testing.M) {
	code := m.Run()
	if log := twin.Stop(); code != 0 {
		fmt.Fprintf(os.Stderr, "the Python side:\n%s", log)
	}
	os.Exit(code)
}

// python returns where the Python side of a pair is.
func (p pair) python(t testing.TB) string {
	exe := interoptest.FindPython(t, "starlette", "uvicorn", "itsdangerous", "cryptography", "redis")
	base := twin.URL(t, exe, "testdata/twin/app.py", "", "testdata/twin", "python")
	config, err := json.Marshal(p)
	require.NoError(t, err)
	return base + "/" + base64.URLEncoding.EncodeToString(config)
}

func browse(t testing.TB, cookie ...string) *interoptest.Browser {
	b := &interoptest.Browser{T: t, Name: CookieName}
	for _, c := range cookie {
		b.Cookie = c
	}
	return b
}

// newRedis starts a server and returns a client, and its port.
func newRedis(t testing.TB) (*redistest.Server, int) {
	server := redistest.Single(t)
	var port int
	_, err := fmt.Sscanf(server.Addr[strings.LastIndexByte(server.Addr, ':')+1:], "%d", &port)
	require.NoError(t, err)
	return server, port
}
