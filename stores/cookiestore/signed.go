package cookiestore

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"strings"

	"github.com/gorilla/securecookie"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/stores"
)

// keyLabel separates the keys that sign from every other use of the same keys.
const keyLabel = "bulla cookiestore.Signed 1"

// Signed returns the store for records that the client may read but not change.
// The first key signs, all verify; a record that a later key verifies is stale,
// so that it is signed afresh. A retired key can still forge: take a key that
// leaked out of the list. No key, the zero Key and a key given twice are
// [encrypt.ErrInvalidKey].
//
// gorilla/securecookie makes the signature, HMAC-SHA-256 over the binding, the
// time and the record. So a record does not verify under another session's ID,
// another cookie's name or another application. Its limits of age and length
// are off: the manager enforces the deadlines that the record carries, and the
// cookie's length.
//
// securecookie encodes in base64 twice: a record takes 16/9 of its size and 80
// characters, where [Sealed] takes 4/3.
func Signed(keys ...encrypt.Key) (stores.Store, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("cookiestore: %w: no keys; give Signed at least one, from encrypt.GenerateKey", encrypt.ErrInvalidKey)
	}
	var (
		s       signed
		secrets [][]byte
	)
	for i, key := range keys {
		secret, err := key.Derive(keyLabel)
		if err != nil {
			return nil, fmt.Errorf("cookiestore: key %d of Signed: %w", i+1, err)
		}
		for j, other := range secrets {
			if hmac.Equal(secret, other) {
				return nil, fmt.Errorf("cookiestore: %w: key %d of Signed is the same as key %d; give each key once", encrypt.ErrInvalidKey, i+1, j+1)
			}
		}
		secrets = append(secrets, secret)
		signer := securecookie.New(secret, nil).
			MaxAge(0).
			MaxLength(0).
			SetSerializer(securecookie.NopEncoder{})
		s.signers = append(s.signers, func() *securecookie.SecureCookie { return signer })
	}
	return s, nil
}

type signed struct {
	// Functions, because fmt can print what is behind a pointer, and behind
	// these are keys.
	signers []func() *securecookie.SecureCookie
}

// Place implements [stores.Store].
func (s signed) Place() stores.Place {
	return stores.Place{Name: "signed cookie", Cookie: s, Signed: true}
}

// Encode implements [stores.Codec]. It refuses an empty binding, since such a
// record could be moved anywhere.
func (s signed) Encode(data, binding []byte) (string, error) {
	if len(binding) == 0 {
		return "", errors.New("cookiestore: there is no binding to sign")
	}
	padded, err := s.signers[0]().Encode(string(binding), data)
	if err != nil {
		return "", fmt.Errorf("cookiestore: %w", err)
	}
	return strings.TrimRight(padded, "="), nil
}

// Decode implements [stores.Codec].
func (s signed) Decode(text string, binding []byte) ([]byte, bool, error) {
	// securecookie's base64 is not strict: several texts would verify.
	if _, err := payload.Decode(text); err != nil {
		return nil, false, err
	}
	if len(binding) == 0 {
		return nil, false, fmt.Errorf("%w: there is no binding to verify it with", stores.ErrTampered)
	}
	padded := text + strings.Repeat("=", -len(text)&3)
	for i, signer := range s.signers {
		var data []byte
		if err := signer().Decode(string(binding), padded, &data); err == nil {
			return data, i > 0, nil
		}
	}
	return nil, false, fmt.Errorf("%w: no key of %d verifies it", stores.ErrTampered, len(s.signers))
}
