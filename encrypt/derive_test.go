package encrypt

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// derived returns the key in use that derive gives to the algorithm.
func derived(t *testing.T, prk, info []byte) []byte {
	t.Helper()
	var key []byte
	e := &entry{alg: &algorithm{sealer: func(k []byte) (sealer, error) {
		key = slices.Clone(k)
		return nil, nil
	}}}
	copy(e.header[:], info)
	e.derivation.init(prk)
	for range 2 { // the second time from the pool
		_, err := e.derive(info[headerSize:])
		require.NoError(t, err)
	}
	return key
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// RFC 5869, appendix A: test cases 1 and 2. (Test case 3 has an empty info, and
// the others are for SHA-1.)
func TestDeriveVectors(t *testing.T) {
	span := func(from, to int) (b []byte) {
		for c := from; c <= to; c++ {
			b = append(b, byte(c))
		}
		return b
	}
	for _, test := range []struct {
		ikm, salt, info []byte
		prk, okm        string
	}{
		{
			slices.Repeat([]byte{0x0b}, 22), span(0x00, 0x0c), span(0xf0, 0xf9),
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		},
		{
			span(0x00, 0x4f), span(0x60, 0xaf), span(0xb0, 0xff),
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
		},
	} {
		prk, err := hkdf.Extract(sha256.New, test.ikm, test.salt)
		require.NoError(t, err)
		require.Equal(t, test.prk, hex.EncodeToString(prk))
		okm := fromHex(t, test.okm)
		expanded, err := hkdf.Expand(sha256.New, prk, string(test.info), len(okm))
		require.NoError(t, err)
		require.Equal(t, okm, expanded)

		require.Equal(t, okm[:keySize], derived(t, prk, test.info))
	}
}

func TestDeriveIsHKDF(t *testing.T) {
	for range 1000 {
		prk := make([]byte, sha256.Size)
		rand.Read(prk)
		info := make([]byte, headerSize+mathrand.IntN(300))
		rand.Read(info)
		want, err := hkdf.Expand(sha256.New, prk, string(info), keySize)
		require.NoError(t, err)
		require.Equal(t, want, derived(t, prk, info))
	}
}

// Two keys with one ID are too rare to be found; a header must name one key.
func TestKeysWithOneID(t *testing.T) {
	a, b := GenerateKey(), GenerateKey()
	forged := *b.material()
	forged.id = a.material().id
	m := &forged
	_, err := NewAESGCM(a, Key{&m})
	require.ErrorIs(t, err, ErrInvalidKey)
	require.ErrorContains(t, err, "key 2 ")
	require.ErrorContains(t, err, "the ID of key 1")
}

// What one session's derivation leaves in the pool must not be its key.
func TestPoolKeepsNoKey(t *testing.T) {
	e := newEntry(aesGCM, GenerateKey())
	_, err := e.derive([]byte("session 42"))
	require.NoError(t, err)
	x := e.pool.Get().(*expander)
	require.Zero(t, x.out)
	// Nor does its HMAC hold what was written: it begins anew.
	fresh := e.pool.New().(*expander)
	require.Equal(t, fresh.mac.Sum(nil), x.mac.Sum(nil))
}
