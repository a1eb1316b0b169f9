package encrypt

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
)

// aeadSealer seals with an AEAD:
//
//	nonce | ciphertext | tag
//
// There is no associated data: header and binding are in the key.
type aeadSealer struct {
	cipher.AEAD
}

func (s aeadSealer) size(n int) int { return s.NonceSize() + n + s.Overhead() }

func (s aeadSealer) seal(dst, plaintext []byte) []byte {
	// An AEAD that draws its nonce itself has the nonce size 0.
	body := len(dst) + s.NonceSize()
	plaintext = append(dst[:body], plaintext...)[body:] // before the nonce takes its place
	nonce := dst[len(dst):body]
	rand.Read(nonce) // never fails: crypto/rand aborts the program instead
	return s.Seal(dst[:body], nonce, plaintext, nil)
}

func (s aeadSealer) open(dst, sealed []byte, inPlace bool) ([]byte, error) {
	if len(sealed) < s.size(0) {
		return nil, fmt.Errorf("%w: too short by %d bytes", ErrMalformed, s.size(0)-len(sealed))
	}
	n := s.NonceSize()
	if inPlace {
		dst = sealed[n:n:len(sealed)]
	}
	plaintext, err := s.Open(dst, sealed[:n], sealed[n:], nil)
	if err != nil {
		return nil, ErrTampered // the AEAD's own error says no more
	}
	return plaintext, nil
}
