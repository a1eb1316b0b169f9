package cbchmac

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// AES-128-CBC is that of NIST SP 800-38A, F.2.1, with a block of padding behind
// its blocks, and the MAC is HMAC-SHA-256 of all before it.
func TestSealAndOpen(t *testing.T) {
	signing := []byte("16 bytes to sign")
	k, err := New(append(bytes.Clone(signing), fromHex(t, "2b7e151628aed2a6abf7158809cf4f3c")...))
	require.NoError(t, err)
	iv := IV(fromHex(t, "000102030405060708090a0b0c0d0e0f"))
	plaintext := fromHex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
	ciphertext := "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"

	sealed := k.Seal([]byte("before"), plaintext, 0x0102030405060708, iv)
	require.Equal(t, "before", string(sealed[:6]))
	sealed = sealed[6:]
	require.Len(t, sealed, Size(len(plaintext)))
	require.Equal(t, "80"+"0102030405060708"+hex.EncodeToString(iv[:])+ciphertext, hex.EncodeToString(sealed[:25+32]))
	mac := hmac.New(sha256.New, signing)
	mac.Write(sealed[:len(sealed)-32])
	require.Equal(t, mac.Sum(nil), sealed[len(sealed)-32:])

	for _, inPlace := range []bool{false, true} {
		got, unix, err := k.Open(nil, bytes.Clone(sealed), inPlace)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		require.EqualValues(t, 0x0102030405060708, unix)
	}
	sealed[30] ^= 1
	before := bytes.Clone(sealed)
	_, _, err = k.Open(nil, sealed, true)
	require.ErrorIs(t, err, ErrMAC)
	require.Equal(t, before, sealed, "it was decrypted before the MAC was verified")
}

// Padding that a holder of the key got wrong is refused, in each of its forms.
func TestPadding(t *testing.T) {
	block := func(tail ...byte) []byte {
		return append(make([]byte, 16-len(tail)), tail...)
	}
	for _, test := range []struct {
		blocks []byte
		want   int
	}{
		{block(1), 1},
		{block(2, 2), 2},
		{block(9, 2, 2), 2},
		{block(4, 4, 4, 4), 4},
		{append(block(), block(16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16)...), 16},
		{block(0), 0},
		{block(2), 0},
		{block(1, 2), 0},
		{block(3, 4, 4, 4), 0},
		{append(block(), block(17)...), 0},
		{bytes.Repeat([]byte{17}, 32), 0},
		{block(255), 0},
	} {
		require.Equal(t, test.want, paddingSize(test.blocks), "%v", test.blocks)
	}
}
