package encrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"
)

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

// AES-256-GCM as the ring uses it. The first three are test cases 13 to 15 of
// McGrew and Viega, The Galois/Counter Mode of Operation, appendix B; the last
// is the first of NIST CAVP's gcmEncryptExtIV256.rsp with a plaintext of 128
// bits and no associated data.
func TestAESGCMVectors(t *testing.T) {
	zeros := "0000000000000000000000000000000000000000000000000000000000000000"
	for _, test := range []struct{ key, nonce, plaintext, ciphertext, tag string }{
		{zeros, zeros[:24], "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{zeros, zeros[:24], zeros[:32], "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
		{
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
			"b094dac5d93471bdec1a502270e3cc6c",
		},
		{
			"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22", "0d18e06c7c725ac9e362e1ce",
			"2db5168e932556f8089a0622981d017d", "fa4362189661d163fcd6a56d8bf0405a", "d636ac1bbedd5cc3ee727dc2ab4a9489",
		},
	} {
		s, err := aesGCM.sealer(fromHex(t, test.key))
		require.NoError(t, err)
		got, err := s.open(nil, fromHex(t, test.nonce+test.ciphertext+test.tag), false)
		require.NoError(t, err)
		require.Equal(t, test.plaintext, hex.EncodeToString(got))
	}
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1. The ring uses no associated data,
// so that this goes to the AEAD itself.
func TestXChaCha20Poly1305Vector(t *testing.T) {
	plaintext := "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
	aad := fromHex(t, "50515253c0c1c2c3c4c5c6c7")
	nonce := fromHex(t, "404142434445464748494a4b4c4d4e4f5051525354555657")
	want := fromHex(t, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"+
		"731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"+
		"2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"+
		"21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")

	s, err := xChaCha20Poly1305.sealer(fromHex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
	require.NoError(t, err)
	aead := s.(aeadSealer)
	require.Equal(t, want, aead.Seal(nil, nonce, []byte(plaintext), aad))
	got, err := aead.Open(nil, nonce, want, aad)
	require.NoError(t, err)
	require.Equal(t, plaintext, string(got))
}

type sealedVector struct{ Algorithm, Key, Binding, Plaintext, Sealed string }

var constructors = map[string]func(...Key) (*Keyring, error){
	"AES-256-GCM":              NewAESGCM,
	"XChaCha20-Poly1305":       NewXChaCha20Poly1305,
	"AES-128-CBC-HMAC-SHA-256": NewAESCBCHMAC,
}

// The format stays what it is: bytes that another implementation sealed with
// fixed nonces open, and what is sealed now has the documented form.
func TestSealedVectors(t *testing.T) {
	var file struct{ Vectors []sealedVector }
	readJSON(t, "testdata/sealed.json", &file)
	seen := make(map[string]bool)
	for _, v := range file.Vectors {
		seen[v.Algorithm] = true
		key, err := NewKey(fromHex(t, v.Key))
		require.NoError(t, err)
		ring, err := constructors[v.Algorithm](key)
		require.NoError(t, err)
		binding, plaintext, sealed := fromHex(t, v.Binding), fromHex(t, v.Plaintext), fromHex(t, v.Sealed)

		got, err := ring.Decrypt([]byte{}, sealed, binding)
		require.NoError(t, err, v.Algorithm)
		require.Equal(t, plaintext, got)

		fresh, err := ring.Encrypt(nil, plaintext, binding)
		require.NoError(t, err)
		require.Equal(t, sealed[:headerSize], fresh[:headerSize])
		require.Len(t, fresh, len(sealed))
		require.Equal(t, plaintext, openAsDocumented(t, fromHex(t, v.Key), fresh, binding))
		require.Equal(t, plaintext, openAsDocumented(t, fromHex(t, v.Key), sealed, binding))
	}
	require.Len(t, seen, len(constructors), "an algorithm has no vectors")
}

// openAsDocumented opens sealed bytes with nothing of this package.
func openAsDocumented(t *testing.T, key, sealed, binding []byte) []byte {
	t.Helper()
	header, body := sealed[:6], sealed[6:]
	info := string(header) + string(binding)
	inUse, err := hkdf.Key(sha256.New, key, []byte("bulla encrypt 1"), info, 32)
	require.NoError(t, err)

	require.EqualValues(t, 1, header[0])
	switch header[1] {
	case 1:
		block, err := aes.NewCipher(inUse)
		require.NoError(t, err)
		aead, err := cipher.NewGCM(block)
		require.NoError(t, err)
		plaintext, err := aead.Open([]byte{}, body[:12], body[12:], nil)
		require.NoError(t, err)
		return plaintext
	case 2:
		aead, err := chacha20poly1305.NewX(inUse)
		require.NoError(t, err)
		plaintext, err := aead.Open([]byte{}, body[:24], body[24:], nil)
		require.NoError(t, err)
		return plaintext
	case 3:
		require.EqualValues(t, 0x80, body[0])
		require.NotZero(t, binary.BigEndian.Uint64(body[1:]))
		signed, sum := body[:len(body)-32], body[len(body)-32:]
		mac := hmac.New(sha256.New, inUse[:16])
		mac.Write(signed)
		require.Equal(t, mac.Sum(nil), sum)
		block, err := aes.NewCipher(inUse[16:])
		require.NoError(t, err)
		plaintext := append([]byte{}, signed[25:]...)
		cipher.NewCBCDecrypter(block, signed[9:25]).CryptBlocks(plaintext, plaintext)
		return plaintext[:len(plaintext)-int(plaintext[len(plaintext)-1])]
	}
	require.FailNow(t, "unknown algorithm")
	return nil
}
