//go:build unix

package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
)

// A program on Redis runs in FIPS 140-only mode, where everything panics that is
// not approved, beside one that does not.
func TestFIPS140Only(t *testing.T) {
	server := redistest.Single(t)
	b := redisBackend(t, server.Client(), server.Client())
	key := encrypt.GenerateKey()
	mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t, key)), middleware.WithCookieCache(time.Minute))
	counter, keys := visited(t, mw), visited(t, mw)
	helper := startHelper(t, orders{
		Addr: server.Addr, Key: key.ExportSecret(), Cache: time.Minute,
		Counter: counter.cookie, Keys: keys.cookie,
		Clients: 2, Each: 10, First: 0, Last: 5,
	}, "GODEBUG=fips140=only")
	helper.start(t)
	helper.wait(t)
	require.Equal(t, 1+2*10, counter.id().visits(t, mw))
	requireKeys(t, mw, keys.id(), 5)
}
