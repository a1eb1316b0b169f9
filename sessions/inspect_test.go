package sessions_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
)

// Inspect opens what a cookie cache has given out, with every algorithm. It tries
// it as a record first, and that must not spoil it.
func TestInspectCopy(t *testing.T) {
	for name, newRing := range map[string]func(...encrypt.Key) (*encrypt.Keyring, error){
		"AES-256-GCM": encrypt.NewAESGCM, "XChaCha20-Poly1305": encrypt.NewXChaCha20Poly1305, "Fernet": encrypt.NewFernet,
	} {
		ring, err := newRing(encrypt.GenerateKey())
		require.NoError(t, err)
		_, m := setup(t, sessions.Config{Encryptor: ring, CookieCache: time.Minute})
		tok := received(t, begin(t, m))
		require.NotEmpty(t, tok.Payload)
		for range 2 {
			found, err := m.Inspect(tok, nil)
			require.NoError(t, err, name)
			require.Equal(t, "copy in a cookie", found.Kind)
			require.Equal(t, 2, found.Envelope.Values.Len())
		}
	}
}
