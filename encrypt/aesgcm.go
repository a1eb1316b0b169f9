package encrypt

import (
	"crypto/aes"
	"crypto/cipher"
)

var aesGCM = &algorithm{1, "AES-256-GCM", func(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// This AEAD draws a random 96-bit nonce itself and puts it in front, so
	// that no code here can use one twice. It is also the form that FIPS
	// 140-only mode allows.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return aeadSealer{aead}, nil
}}

// NewAESGCM returns a ring that seals with AES-256-GCM. It is the algorithm to
// choose unless something speaks for another one: it is in the standard library
// and in FIPS 140, and fast where the processor has AES instructions.
//
// The first key encrypts, all of them open. A list without keys, a zero Key and
// a key that occurs twice are [ErrInvalidKey]; no key is ever skipped.
func NewAESGCM(keys ...Key) (*Keyring, error) { return newKeyring(aesGCM, keys) }
