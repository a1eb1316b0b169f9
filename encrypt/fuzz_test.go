package encrypt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzKey is fixed, so that seeds can hold bytes that open under it. It is the
// key of testdata/sealed.json.
func fuzzKey(t testing.TB) Key {
	t.Helper()
	b := make([]byte, keySize)
	for i := range b {
		b[i] = byte(i)*7 + 1
	}
	k, err := NewKey(b)
	require.NoError(t, err)
	return k
}

// FuzzDecrypt gives any bytes under any binding to a ring of every algorithm.
// The seeds under testdata/fuzz open.
func FuzzDecrypt(f *testing.F) {
	k := fuzzKey(f)
	var rings []*Keyring
	for _, newRing := range constructors {
		ring, err := newRing(k)
		require.NoError(f, err)
		rings = append(rings, ring)
	}
	ring, err := NewKeyring(rings...)
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, ciphertext, binding []byte) {
		c, b := bytes.Clone(ciphertext), bytes.Clone(binding)
		plaintext, err := ring.Decrypt(nil, ciphertext, binding)
		require.True(t, bytes.Equal(c, ciphertext) && bytes.Equal(b, binding), "the arguments were changed")
		if err == nil {
			requireGenuine(t, ring, ciphertext, plaintext, binding)
			return
		}
		require.Nil(t, plaintext)
		require.True(t, errors.Is(err, ErrTampered) || errors.Is(err, ErrMalformed) ||
			errors.Is(err, ErrUnknownKey) || len(binding) == 0 && errors.Is(err, ErrNoBinding), "got %v", err)
	})
}

// requireGenuine checks what has opened: only the length that Encrypt makes
// does, and only as it is.
func requireGenuine(t *testing.T, ring *Keyring, ciphertext, plaintext, binding []byte) {
	i, err := ring.find(ciphertext)
	require.NoError(t, err)
	s, err := ring.entries[i].derive(binding)
	require.NoError(t, err)
	require.Len(t, ciphertext, headerSize+s.size(len(plaintext)))
	for i := range ciphertext {
		changed := bytes.Clone(ciphertext)
		changed[i] ^= 0x10
		_, err := ring.Decrypt(nil, changed, binding)
		require.Error(t, err)
	}
}

// FuzzParseKey gives any text to ParseKey. What it takes survives the way out
// and back.
func FuzzParseKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidKey)
			require.True(t, k.IsZero())
			return
		}
		again, err := ParseKey(k.ExportSecret())
		require.NoError(t, err)
		require.True(t, k.equal(again))
	})
}

// A fuzz target without seeds tests nothing in an ordinary run.
func TestFuzzCorpora(t *testing.T) {
	for _, target := range []string{"FuzzDecrypt", "FuzzParseKey"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		require.NoError(t, err)
		require.NotEmpty(t, seeds, target)
		for _, seed := range seeds {
			info, err := os.Stat(seed)
			require.NoError(t, err)
			require.NotZero(t, info.Size(), seed)
		}
	}
}
