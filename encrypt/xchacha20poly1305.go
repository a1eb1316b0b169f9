package encrypt

import "golang.org/x/crypto/chacha20poly1305"

var xChaCha20Poly1305 = &algorithm{2, "XChaCha20-Poly1305", func(key []byte) (sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return aeadSealer{aead}, nil
}}

// NewXChaCha20Poly1305 returns a ring that seals with XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha), with random nonces of 192 bits. It is fast on
// processors without AES instructions too.
//
// The keys are as in [NewAESGCM].
func NewXChaCha20Poly1305(keys ...Key) (*Keyring, error) {
	return newKeyring(xChaCha20Poly1305, keys)
}
