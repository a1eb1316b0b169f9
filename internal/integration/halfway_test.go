//go:build unix

package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/failtest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// A login that fails halfway leaves nothing, and a handler's own page for what the user
// can do something about reaches the user: with every store, over real connections. The
// databases of sqlstore are in its own tests.
func TestHalfway(t *testing.T) {
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			failtest.Run(t, b.make(t).store, middleware.WithEncryptor(ring(t)))
		})
		t.Run(b.name+"/cookie cache", func(t *testing.T) {
			failtest.Run(t, b.make(t).store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(time.Minute))
		})
	}
	t.Run("hybrid", func(t *testing.T) { failtest.Run(t, hybrid(t).store, middleware.WithEncryptor(ring(t))) })
	t.Run("sealed cookie", func(t *testing.T) {
		failtest.Run(t, cookiestore.Sealed(), middleware.WithEncryptor(ring(t)))
	})
	t.Run("signed cookie", func(t *testing.T) {
		store, err := cookiestore.Signed(encrypt.GenerateKey())
		require.NoError(t, err)
		failtest.Run(t, store)
	})
}
