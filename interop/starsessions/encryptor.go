package starsessions

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/fernet"
)

// Encryptor seals records as the encryptor of the Python side does. It is none for
// Bulla's own sessions: what it seals is bound to no session, cookie or application, so
// whoever can write to the store can move records between them. That is why it is not
// an [encrypt.Encryptor], and fits nowhere but in [Config].
//
// It is immutable and safe for concurrent use. The zero Encryptor is refused by [New].
type Encryptor struct {
	seal func(plaintext []byte) ([]byte, error)
	open func(sealed []byte) ([]byte, error)
}

// errOpen says nothing of what did not open.
var errOpen = errors.New("starsessions: the record does not open; is the key the one that the Python side has?")

// Unencrypted is starsessions' NoopEncryptor: whoever reads the cookie or the Redis
// reads the sessions.
func Unencrypted() Encryptor {
	same := func(data []byte) ([]byte, error) { return data, nil }
	return Encryptor{same, same}
}

// Fernet is starsessions' FernetEncryptor. key is its text, 32 bytes in base64url with
// padding, or in plain base64, which Python takes as well: openssl rand -base64 32 makes
// such keys. Only the length is checked, since it is the Python side's choice.
func Fernet(key string) (Encryptor, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(key))
	if err != nil {
		return Encryptor{}, fmt.Errorf("starsessions: %w: the text of a Fernet key is 32 bytes in base64url, or base64, with padding", encrypt.ErrInvalidKey)
	}
	k, err := encrypt.InsecureKey(secret)
	if err != nil {
		return Encryptor{}, fmt.Errorf("starsessions: Fernet: %w", err)
	}
	tokens, err := fernet.New(k)
	if err != nil {
		return Encryptor{}, fmt.Errorf("starsessions: %w", err)
	}
	return Encryptor{
		seal: func(plaintext []byte) ([]byte, error) {
			token, err := tokens.Encrypt(plaintext)
			return []byte(token), err
		},
		open: func(sealed []byte) ([]byte, error) {
			plaintext, err := tokens.Decrypt(string(sealed), 0)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errOpen, err)
			}
			return plaintext, nil
		},
	}, nil
}

// AESGCM is starsessions' AESGCMEncryptor, with its key of 16, 24 or 32 bytes, which
// must be random. One key seals all sessions with nonces drawn at random: change it
// before it has sealed 2^32 records, which are 1000 a second for 50 days.
func AESGCM(key []byte) (Encryptor, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Encryptor{}, fmt.Errorf("starsessions: %w: an AES-GCM key has 16, 24 or 32 bytes, this one %d", encrypt.ErrInvalidKey, len(key))
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // nonce | ciphertext | tag
	if err != nil {
		return Encryptor{}, fmt.Errorf("starsessions: %w", err)
	}
	return Encryptor{
		seal: func(plaintext []byte) ([]byte, error) { return aead.Seal(nil, nil, plaintext, nil), nil },
		open: func(sealed []byte) ([]byte, error) {
			plaintext, err := aead.Open(nil, nil, sealed, nil)
			if err != nil {
				return nil, errOpen
			}
			return plaintext, nil
		},
	}, nil
}
