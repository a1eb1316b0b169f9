package middleware_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// What carries no valid MAC costs no round trip.
func TestForgedIDsCostNothing(t *testing.T) {
	store := &flaky{Store: memory(t).store}
	var ev events
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithSignedIDs(encrypt.GenerateKey()), ev.option())
	good := visited(t, mw.Handler(count))
	require.Len(t, good, 54)
	fresh := unknown()
	read := func(values ...string) {
		ev.take()
		store.loads.Store(0)
		ask(mw.Handler(peek), "/", values...)
	}
	for name, forged := range map[string]string{
		"no MAC":          good[:32],
		"another ID":      fresh + good[32:],
		"a MAC of zeros":  fresh + strings.Repeat("A", 22),
		"its own ID, bad": good[:40] + swap(good[40]) + good[41:],
	} {
		read(forged)
		require.Zero(t, store.loads.Load(), name)
		require.Equal(t, []string{"rejected: " + string(sessions.Forged)}, ev.take(), name)
	}
	read("a", "b", "c", good[:32])
	require.Zero(t, store.loads.Load())
	read(good)
	require.EqualValues(t, 1, store.loads.Load())
}

// A cookie that a retired key signed is good, and is signed afresh under the
// first key at once, also when the request only reads.
func TestSignedIDRotation(t *testing.T) {
	mem := memory(t)
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	old := visited(t, mem.new(t, middleware.WithSignedIDs(older)).Handler(count))

	both := mem.new(t, middleware.WithSignedIDs(newer, older))
	a := ask(both.Handler(peek), "/", old)
	require.Equal(t, "1", a.body)
	again := a.value(t)
	require.Equal(t, old[:32], again[:32], "the ID stays")
	require.NotEqual(t, old, again)
	require.Empty(t, ask(both.Handler(peek), "/", again).ours(), "once is enough")

	require.Equal(t, "1", ask(mem.new(t, middleware.WithSignedIDs(newer)).Handler(peek), "/", again).body)
	require.Equal(t, "0", ask(mem.new(t, middleware.WithSignedIDs(newer)).Handler(peek), "/", old).body)

	// Together with a change, a logout or a new ID there is still one line.
	for _, do := range []http.HandlerFunc{count, logout, func(_ http.ResponseWriter, r *http.Request) { check(session(r).Regenerate()) }} {
		old := visited(t, mem.new(t, middleware.WithSignedIDs(older)).Handler(count))
		require.Len(t, ask(both.Handler(do), "/", old).ours(), 1)
	}
	// A request that does not look at its session leaves it.
	require.Empty(t, ask(both.Handler(http.NotFoundHandler()), "/", old).ours())
}

// A signed ID is worth nothing under another cookie name or in another
// application with the same keys and store.
func TestSignedIDElsewhere(t *testing.T) {
	mem, key := memory(t), encrypt.GenerateKey()
	value := visited(t, mem.new(t, middleware.WithSignedIDs(key)).Handler(count))
	for name, opts := range map[string][]middleware.Option{
		"another name":     {middleware.WithCookieName("sid")},
		"another audience": {middleware.WithAudience("billing")},
		"another key":      {middleware.WithSignedIDs(encrypt.GenerateKey())},
	} {
		var ev events
		opts = append([]middleware.Option{middleware.WithSignedIDs(key), ev.option()}, opts...)
		h := mem.new(t, opts...).Handler(peek)
		req := mustGet(t, "/")
		req.Header.Set("Cookie", cookieName+"="+value+"; sid="+value)
		require.Equal(t, "0", record(h, req).body, name)
		require.Equal(t, []string{"rejected: " + string(sessions.Forged)}, ev.take(), name)
	}
	require.Equal(t, "1", ask(mem.new(t, middleware.WithSignedIDs(key)).Handler(peek), "/", value).body)
}

// The name and the audience are told apart: no two pairs give the same MAC.
func TestSignedIDNamesDoNotRunTogether(t *testing.T) {
	mem, key := memory(t), encrypt.GenerateKey()
	h := mem.new(t, middleware.WithSignedIDs(key), middleware.WithAudience("a"), middleware.WithCookieName("bc")).Handler(count)
	line := ask(h, "/").Header.Get("Set-Cookie")
	value, _, _ := strings.Cut(strings.TrimPrefix(line, "bc="), ";")
	other := mem.new(t, middleware.WithSignedIDs(key), middleware.WithAudience("ab"), middleware.WithCookieName("c")).Handler(peek)
	req := mustGet(t, "/")
	req.Header.Set("Cookie", "c="+value)
	require.Equal(t, "0", record(other, req).body)
}

// With a payload the MAC stands between the ID and the dot.
func TestSignedIDWithPayload(t *testing.T) {
	h := sealed(t).new(t, middleware.WithSignedIDs(encrypt.GenerateKey())).Handler(count)
	value := visited(t, h)
	require.Equal(t, 54, strings.IndexByte(value, '.'))
	require.Equal(t, "2", ask(h, "/", value).body)
	require.Equal(t, "1", ask(h, "/", value[:32]+value[54:]).body, "the MAC left out")
}
