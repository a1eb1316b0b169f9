package fernet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/internal/cbchmac"
	"github.com/stretchr/testify/require"
)

// FuzzDecrypt gives any text to Tokens. A text that is a token has one spelling,
// the one that this key, time and IV make. The key is fixed, so that seeds can
// hold tokens that open under it.
func FuzzDecrypt(f *testing.F) {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)*7 + 1
	}
	key, err := encrypt.NewKey(b)
	require.NoError(f, err)
	tokens := mustTokens(f, key)

	f.Fuzz(func(t *testing.T, token string) {
		plaintext, unix, err := tokens.open(token)
		if err != nil {
			require.Nil(t, plaintext)
			require.True(t, errors.Is(err, encrypt.ErrTampered) || errors.Is(err, encrypt.ErrMalformed), "got %v", err)
			return
		}
		raw := mustDecode(t, token)
		require.Equal(t, token, tokens.encrypt(plaintext, int64(unix), cbchmac.IV(raw[9:25])))
	})
}

// A fuzz target without seeds tests nothing in an ordinary run.
func TestFuzzCorpus(t *testing.T) {
	seeds, err := filepath.Glob("testdata/fuzz/FuzzDecrypt/*")
	require.NoError(t, err)
	require.NotEmpty(t, seeds)
	for _, seed := range seeds {
		info, err := os.Stat(seed)
		require.NoError(t, err)
		require.NotZero(t, info.Size(), seed)
	}
}
