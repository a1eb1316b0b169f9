package middleware_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// outside is a store outside the process.
type outside struct{ stores.Store }

func (o outside) Place() stores.Place {
	return stores.Place{Name: "outside", Server: o.Store.Place().Server}
}

func TestInvalidOptions(t *testing.T) {
	const day = 24 * time.Hour
	mem, err := memstore.New()
	require.NoError(t, err)
	signedStore, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	key := encrypt.GenerateKey()
	enc := ring(t, encrypt.GenerateKey())
	type opts = []middleware.Option

	for _, tt := range []struct {
		name   string
		store  stores.Store
		opts   opts
		says   string // the option
		remedy string
	}{
		{"nil option", mem, opts{middleware.WithAutoload(), nil}, "option 2 of 2 is nil", "leave it out"},
		{"SameSite=None without Secure", mem, opts{middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithInsecureHTTP()}, "WithSameSite", "leave WithInsecureHTTP out"},
		{"SameSite default mode", mem, opts{middleware.WithSameSite(http.SameSiteDefaultMode)}, "WithSameSite", "use Lax, Strict or None"},
		{"SameSite unknown", mem, opts{middleware.WithSameSite(17)}, "WithSameSite", "use Lax, Strict or None"},
		{"__Host- with Domain", mem, opts{middleware.WithCookieName("__Host-id"), middleware.WithCookieDomain("example.com")}, "WithCookieDomain", "leave the domain out"},
		{"__Host- with Path", mem, opts{middleware.WithCookieName("__Host-id"), middleware.WithCookiePath("/app")}, "WithCookiePath", "leave the path out"},
		{"__Host- insecure", mem, opts{middleware.WithCookieName("__Host-id"), middleware.WithInsecureHTTP()}, "WithInsecureHTTP", "leave WithInsecureHTTP out"},
		{"__Secure- insecure", mem, opts{middleware.WithCookieName("__Secure-id"), middleware.WithInsecureHTTP()}, "WithInsecureHTTP", "leave WithInsecureHTTP out"},
		{"__Http- with scripts", mem, opts{middleware.WithCookieName("__Http-id"), middleware.WithInsecureScriptAccess()}, "WithInsecureScriptAccess", "leave WithInsecureScriptAccess out"},
		{"__Http- insecure", mem, opts{middleware.WithCookieName("__Http-id"), middleware.WithInsecureHTTP()}, "WithInsecureHTTP", "leave WithInsecureHTTP out"},
		{"__Host-Http- with scripts", mem, opts{middleware.WithCookieName("__Host-Http-id"), middleware.WithInsecureScriptAccess()}, "WithInsecureScriptAccess", "leave WithInsecureScriptAccess out"},
		{"__Host-Http- with Domain", mem, opts{middleware.WithCookieName("__Host-Http-id"), middleware.WithCookieDomain("example.com")}, "WithCookieDomain", "leave the domain out"},
		{"__Host-Http- with Path", mem, opts{middleware.WithCookieName("__Host-Http-id"), middleware.WithCookiePath("/app")}, "WithCookiePath", "leave the path out"},
		{"__Host-Http- insecure", mem, opts{middleware.WithCookieName("__Host-Http-id"), middleware.WithInsecureHTTP()}, "WithInsecureHTTP", "leave WithInsecureHTTP out"},
		{"prefix in another case", mem, opts{middleware.WithCookieName("__hOsT-id"), middleware.WithCookieDomain("example.com")}, "WithCookieDomain", "leave the domain out"},
		{"Partitioned without Secure", mem, opts{middleware.WithPartitioned(), middleware.WithInsecureHTTP()}, "WithPartitioned", "leave WithInsecureHTTP out"},
		{"Partitioned and Lax", mem, opts{middleware.WithPartitioned()}, "WithPartitioned", "add WithSameSite(http.SameSiteNoneMode)"},
		{"Partitioned and Strict", mem, opts{middleware.WithPartitioned(), middleware.WithSameSite(http.SameSiteStrictMode)}, "WithPartitioned", "add WithSameSite(http.SameSiteNoneMode)"},
		{"path without slash", mem, opts{middleware.WithCookiePath("app")}, "WithCookiePath", "add one"},
		{"path with semicolon", mem, opts{middleware.WithCookiePath("/a;b")}, "WithCookiePath", "invalid"},
		{"path with line end", mem, opts{middleware.WithCookiePath("/a\r\nX: y")}, "WithCookiePath", "invalid"},
		{"path too long", mem, opts{middleware.WithCookiePath("/" + strings.Repeat("a", 1024))}, "WithCookiePath", "shorten it"},
		{"domain too long", mem, opts{middleware.WithCookieDomain(strings.Repeat("a.", 600) + "com")}, "WithCookieDomain", "shorten it"},
		{"domain with space", mem, opts{middleware.WithCookieDomain("exa mple.com")}, "WithCookieDomain", "invalid"},
		{"name with equals sign", mem, opts{middleware.WithCookieName("a=b")}, "WithCookieName", "invalid"},
		{"name with semicolon", mem, opts{middleware.WithCookieName("a;b")}, "WithCookieName", "invalid"},
		{"name with space", mem, opts{middleware.WithCookieName("a b")}, "WithCookieName", "invalid"},
		{"name with line end", mem, opts{middleware.WithCookieName("a\r\nX")}, "WithCookieName", "invalid"},
		{"name beyond ASCII", mem, opts{middleware.WithCookieName("café")}, "WithCookieName", "invalid"},
		{"name too long", mem, opts{middleware.WithCookieName(strings.Repeat("n", 4000))}, "WithCookieName", "shorten them"},

		{"nil store", nil, nil, "store", "use memstore.New"},
		{"Sealed without encryptor", cookiestore.Sealed(), nil, "cookie", "add WithEncryptor"},
		{"Sealed without encryption", cookiestore.Sealed(), opts{middleware.WithoutEncryption()}, "cookie", "add WithEncryptor"},
		{"Signed with encryptor", signedStore, opts{middleware.WithEncryptor(enc)}, "WithEncryptor", "use cookiestore.Sealed"},
		{"outside without encryptor", outside{mem}, nil, "outside", "add WithEncryptor, or WithoutEncryption"},
		{"encrypted and not", mem, opts{middleware.WithEncryptor(enc), middleware.WithoutEncryption()}, "WithEncryptor", "leave one out"},
		{"nil encryptor", mem, opts{middleware.WithEncryptor(nil)}, "WithEncryptor", "check the error"},
		{"encryptor without keys", mem, opts{middleware.WithEncryptor(new(encrypt.Keyring))}, "WithEncryptor", "constructor"},
		{"encryptor of a failed constructor", mem, opts{middleware.WithEncryptor((*encrypt.Keyring)(nil))}, "WithEncryptor", "check the error"},

		{"bad pattern", mem, opts{middleware.WithAutoload("/ok", "/{")}, `WithAutoload("/{")`, "use patterns of http.ServeMux"},
		{"empty pattern", mem, opts{middleware.WithAutoload("")}, `WithAutoload("")`, "use patterns of http.ServeMux"},
		{"pattern with bad method", mem, opts{middleware.WithAutoload("G@T /")}, "WithAutoload", "use patterns of http.ServeMux"},
		{"conflicting patterns", mem, opts{middleware.WithAutoload("/{a}/x"), middleware.WithAutoload("/x/{b}")}, "WithAutoload", "do not conflict"},
		{"pattern twice", mem, opts{middleware.WithAutoload("/x", "/x")}, "WithAutoload", "do not conflict"},
		{"nil regexp", mem, opts{middleware.WithAutoloadRegexp(regexp.MustCompile("/a"), nil)}, "WithAutoloadRegexp: expression 2", "leave it out"},
		{"nil autoload function", mem, opts{middleware.WithAutoloadFunc(nil)}, "WithAutoloadFunc", "leave it out"},
		{"nil skip function", mem, opts{middleware.WithSkip(nil)}, "WithSkip", "leave it out"},

		{"lifetime over 400 days", mem, opts{middleware.WithLifetime(400*day + time.Second)}, "WithLifetime", "use a shorter one"},
		{"negative lifetime", mem, opts{middleware.WithLifetime(-1)}, "WithLifetime", "leave it out"},
		{"lifetime under a second", mem, opts{middleware.WithLifetime(time.Millisecond)}, "WithLifetime", "use a longer one"},
		{"negative idle time", mem, opts{middleware.WithRolling(-1)}, "WithRolling", "leave it out"},
		{"idle time under a second", mem, opts{middleware.WithRolling(time.Millisecond)}, "WithRolling", "use a longer"},
		{"no idle time", mem, opts{middleware.WithRolling(0)}, "WithRolling", "give one"},
		{"stub lifetime under a minute", mem, opts{middleware.WithStubLifetime(time.Second)}, "WithStubLifetime", "leave it out"},
		{"no watch interval", mem, opts{middleware.WithWatchInterval(0)}, "WithWatchInterval", "leave it out"},
		{"short watch interval", mem, opts{middleware.WithWatchInterval(time.Millisecond)}, "WithWatchInterval", "leave it out"},
		{"negative watch interval", mem, opts{middleware.WithWatchInterval(-time.Second)}, "WithWatchInterval", "leave it out"},
		{"watch interval over half of the stubs' life", mem, opts{middleware.WithWatchInterval(6 * time.Minute)}, "WithWatchInterval", "shorten it"},
		{"commit timeout over a minute", mem, opts{middleware.WithCommitTimeout(time.Hour)}, "WithCommitTimeout", "shorten it"},
		{"negative touch interval", mem, opts{middleware.WithRolling(day), middleware.WithPersistentCookie(), middleware.WithTouchInterval(-1)}, "WithTouchInterval", "use 0"},
		{"negative commit timeout", mem, opts{middleware.WithCommitTimeout(-1)}, "WithCommitTimeout", "leave it out"},
		{"rolling over lifetime", mem, opts{middleware.WithRolling(31 * day)}, "WithRolling", "shorten the idle time"},
		{"touch interval without rolling", mem, opts{middleware.WithLifetime(day), middleware.WithTouchInterval(time.Minute)}, "WithTouchInterval", "add it, or leave"},
		{"touch interval 0 without rolling", mem, opts{middleware.WithLifetime(day), middleware.WithTouchInterval(0)}, "WithTouchInterval", "add it, or leave"},
		{"touch interval over lifetime", mem, opts{middleware.WithRolling(day), middleware.WithPersistentCookie(), middleware.WithTouchInterval(day)}, "WithTouchInterval", "shorten it"},
		{"lifetime under idle time", mem, opts{middleware.WithLifetime(time.Hour), middleware.WithRolling(day)}, "WithLifetime", "lengthen the lifetime"},

		{"store of a failed constructor", (*memstore.Store)(nil), nil, "store", "check the error"},
		{"owners without keys", mem, opts{middleware.WithOwners()}, "WithOwners", "give it at least one"},
		{"signed IDs without keys", mem, opts{middleware.WithSignedIDs()}, "WithSignedIDs", "give it at least one"},
		{"signed IDs with a key twice", mem, opts{middleware.WithSignedIDs(key, key)}, "WithSignedIDs", "give each key once"},
		{"signed IDs with the zero key", mem, opts{middleware.WithSignedIDs(key, encrypt.Key{})}, "WithSignedIDs", "make one with GenerateKey"},

		{"negative cookie cache", mem, opts{middleware.WithEncryptor(enc), middleware.WithCookieCache(-1)}, "WithCookieCache", "leave them out"},
		{"cookie cache over a cookie", cookiestore.Sealed(), opts{middleware.WithEncryptor(enc), middleware.WithCookieCache(time.Minute)}, "WithCookieCache", "needs a store"},
		{"cookie cache without encryptor", mem, opts{middleware.WithCookieCache(time.Minute)}, "WithCookieCache", "add WithEncryptor"},
		{"fallback without cookie cache", mem, opts{middleware.WithEncryptor(enc), middleware.WithCookieCacheFallback(time.Minute)}, "WithCookieCacheFallback", "add WithCookieCache"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mw, err := middleware.New(tt.store, tt.opts...)
			require.Nil(t, mw)
			require.ErrorIs(t, err, sessions.ErrConfig)
			require.ErrorContains(t, err, tt.says)
			require.ErrorContains(t, err, tt.remedy)
		})
	}
}

// What New accepts at the edges, so that the table above refuses no more than it
// should.
func TestValidOptions(t *testing.T) {
	const day = 24 * time.Hour
	mem := memory(t).store
	for name, opts := range map[string][]middleware.Option{
		"nothing":                   nil,
		"400 days":                  {middleware.WithLifetime(400 * day)},
		"rolling, 400 days":         {middleware.WithLifetime(400 * day), middleware.WithRolling(400 * day)},
		"None and Secure":           {middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()},
		"__Http- with Path, Domain": {middleware.WithCookieName("__Http-id"), middleware.WithCookiePath("/app"), middleware.WithCookieDomain("example.com")},
		"__Host- with scripts":      {middleware.WithCookieName("__Host-id"), middleware.WithInsecureScriptAccess()},
		"attributes at their limit": {middleware.WithCookiePath("/" + strings.Repeat("a", 1023))},
		"patterns that overlap":     {middleware.WithAutoload("/app/", "/app/{id}", "GET /app/x")},
	} {
		_, err := middleware.New(mem, opts...)
		require.NoError(t, err, name)
	}
	_, err := middleware.New(outside{mem}, middleware.WithoutEncryption())
	require.NoError(t, err)
}

// cookieLine returns the line that a first visit is answered with, without its
// value.
func cookieLine(t *testing.T, opts ...middleware.Option) string {
	t.Helper()
	a := ask(memory(t).new(t, opts...).Handler(count), "/")
	require.Len(t, a.Header["Set-Cookie"], 1)
	name, rest, _ := strings.Cut(a.Header["Set-Cookie"][0], "=")
	_, attrs, _ := strings.Cut(rest, ";")
	return name + ";" + attrs
}

func TestDefaults(t *testing.T) {
	require.Equal(t, "__Host-Http-session; Path=/; HttpOnly; Secure; SameSite=Lax", cookieLine(t))
}

func TestCookieAttributes(t *testing.T) {
	for want, opts := range map[string][]middleware.Option{
		"session; Path=/; HttpOnly; SameSite=Lax":                                      {middleware.WithInsecureHTTP()},
		"__Secure-session; Path=/app; HttpOnly; Secure; SameSite=Lax":                  {middleware.WithCookiePath("/app")},
		"__Secure-session; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax": {middleware.WithCookieDomain("example.com")},
		"__Secure-session; Path=/app; Secure; SameSite=Lax":                            {middleware.WithCookiePath("/app"), middleware.WithInsecureScriptAccess()},
		"session; Path=/app; HttpOnly; SameSite=Lax":                                   {middleware.WithCookiePath("/app"), middleware.WithInsecureHTTP()},
		"__session; Path=/; HttpOnly; Secure; SameSite=Lax":                            {middleware.WithFirebaseHosting()},
		"sid; Path=/; HttpOnly; Secure; SameSite=Strict":                               {middleware.WithCookieName("sid"), middleware.WithSameSite(http.SameSiteStrictMode)},
		"__Host-Http-session; Path=/; HttpOnly; Secure; SameSite=None; Partitioned": {
			middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()},
		"__Host-session; Path=/; Secure; SameSite=Lax":                            {middleware.WithInsecureScriptAccess()},
		"__Host-Http-session; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax": {middleware.WithLifetime(time.Minute), middleware.WithPersistentCookie()},
	} {
		require.Equal(t, want, cookieLine(t, opts...))
	}
}
