//go:build unix

package redisstore_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// trusting is a configuration that takes what the authority in this file has signed.
func trusting(t *testing.T, file string) *tls.Config {
	pem, err := os.ReadFile(file)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// The contract, over TLS; and a call ends while the server is frozen.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := redistest.TLS(t)
	options := func() *redis.Options {
		return &redis.Options{Addr: server.TLSAddr, TLSConfig: trusting(t, server.CA), ContextTimeoutEnabled: true}
	}
	cached := options()
	cached.ClientSideCacheConfig = &redis.ClientSideCacheConfig{MaxStaleness: time.Minute}
	ways := map[string]*redisstore.Store{
		"contexts enabled": newStore(t, newClient(t, options())),
		"tracking":         newStale(t, newClient(t, cached)),
	}
	t.Run("contract", func(t *testing.T) {
		for name, store := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, storetest.Config{New: func(*testing.T) stores.Server { return store }})
			})
		}
	})
	for name, store := range ways {
		key := newKey()
		rev := save(t, store, key, "data", "")
		server.Freeze()
		began := time.Now()
		_, err := store.Save(t.Context(), key, record("late", rev))
		requireOutage(t, err)
		require.Less(t, time.Since(began), redisstore.DefaultTimeout+5*time.Second, name) // go-redis alone would try for longer
		server.Thaw()
		redistest.Wait(t, "the store answers again", func() bool {
			_, err := store.Load(t.Context(), key, stores.Fresh)
			return err == nil
		})
	}
}

// A server that can't show a certificate of the authority that was given, for its
// name, gets no session.
func TestTLSToSomeoneElse(t *testing.T) {
	server, other, elsewhere := redistest.TLS(t), redistest.TLS(t), redistest.TLS(t, "redis.example.org")
	for name, test := range map[string]struct {
		options redis.Options
		cause   any
	}{
		"another authority": {redis.Options{Addr: server.TLSAddr, TLSConfig: trusting(t, other.CA)}, new(x509.UnknownAuthorityError)},
		"another name":      {redis.Options{Addr: elsewhere.TLSAddr, TLSConfig: trusting(t, elsewhere.CA)}, new(x509.HostnameError)},
		"not by TLS":        {redis.Options{Addr: server.Addr, TLSConfig: trusting(t, server.CA)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Password = "very secret"
			store := newStore(t, newClient(t, &test.options), redisstore.WithTimeout(time.Second))
			_, err := store.Save(t.Context(), newKey(), record("data", ""))
			requireOutage(t, err)
			require.NotContains(t, err.Error(), "secret")
			if test.cause != nil {
				require.ErrorAs(t, err, test.cause)
			}
		})
	}
	for _, s := range []*redistest.Secure{server, elsewhere} {
		require.Zero(t, s.Client().DBSize(t.Context()).Val())
	}
}
