package encrypt_test

import (
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/encrypttest"
	"github.com/stretchr/testify/require"
)

// The interfaces that callers look for.
var (
	_ encrypt.Encryptor = (*encrypt.Keyring)(nil)
	_ encrypt.Rotator   = (*encrypt.Keyring)(nil)
	_ encrypt.Binder    = (*encrypt.Keyring)(nil)
)

type constructor = func(...encrypt.Key) (*encrypt.Keyring, error)

var algorithms = map[string]constructor{
	"AES-256-GCM":              encrypt.NewAESGCM,
	"XChaCha20-Poly1305":       encrypt.NewXChaCha20Poly1305,
	"AES-128-CBC-HMAC-SHA-256": encrypt.NewAESCBCHMAC,
}

// mustRing makes a ring of new keys.
func mustRing(t testing.TB, newRing constructor, keys ...encrypt.Key) *encrypt.Keyring {
	t.Helper()
	ring, err := newRing(keys...)
	require.NoError(t, err)
	return ring
}

func TestContract(t *testing.T) {
	for name, newRing := range algorithms {
		t.Run(name, func(t *testing.T) {
			encrypttest.Run(t, func() encrypt.Encryptor {
				return mustRing(t, newRing, encrypt.GenerateKey(), encrypt.GenerateKey())
			})
		})
	}
}

func TestContractOfJoinedRings(t *testing.T) {
	encrypttest.Run(t, func() encrypt.Encryptor {
		var rings []*encrypt.Keyring
		key := encrypt.GenerateKey() // one key for all; the algorithms must stay apart
		for _, newRing := range algorithms {
			rings = append(rings, mustRing(t, newRing, key, encrypt.GenerateKey()))
		}
		ring, err := encrypt.NewKeyring(rings...)
		require.NoError(t, err)
		return ring
	})
}
