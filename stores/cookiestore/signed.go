package cookiestore

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"strings"

	"github.com/gorilla/securecookie"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
)

// keyLabel separates the keys that sign from every other use of the same keys.
const keyLabel = "bulla cookiestore.Signed 1"

// SignedStore is a [stores.Store] that signs records and puts them into the
// cookie; see [Signed]. The zero SignedStore has no keys: it saves nothing and
// opens nothing. It is safe for concurrent use, does no I/O and ignores
// contexts.
type SignedStore struct {
	// Functions, because fmt can print what is behind a pointer, and behind
	// these are keys.
	codecs []func() *securecookie.SecureCookie
}

// Signed returns the store for records that the client may read but not change.
// The first key signs, all verify; a record that a later key verifies is Stale,
// so that it is signed afresh. A retired key can still forge: take a key that
// leaked out of the list. No key, the zero Key and a key given twice are
// [encrypt.ErrInvalidKey].
//
// gorilla/securecookie makes the signature, HMAC-SHA-256 over the token's
// binding, the time and the record. So a record does not verify under another
// session's ID, another cookie's name or another application. Its limits of age
// and length are off: the manager enforces the deadlines that the record
// carries, and [stores.Record.Room] is the length.
//
// securecookie encodes in base64 twice: a record takes 16/9 of its size and 80
// characters, where [Sealed] takes 4/3.
func Signed(keys ...encrypt.Key) (*SignedStore, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("cookiestore: %w: no keys; give Signed at least one, from encrypt.GenerateKey", encrypt.ErrInvalidKey)
	}
	s := new(SignedStore)
	var secrets [][]byte
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
		codec := securecookie.New(secret, nil).
			MaxAge(0).
			MaxLength(0).
			SetSerializer(securecookie.NopEncoder{})
		s.codecs = append(s.codecs, func() *securecookie.SecureCookie { return codec })
	}
	return s, nil
}

// Describe implements [stores.Describer].
func (*SignedStore) Describe() stores.Info {
	return stores.Info{Name: "signed cookie", Sealing: stores.SealNever, NoIO: true}
}

// ClientHolds implements [stores.ClientHolder]; it is always true.
func (*SignedStore) ClientHolds(stores.Token, stores.Revision, int, int) bool { return true }

// Load verifies the payload and returns the record in it. Expires is zero: the
// times of a record that the client holds are inside it. A token without a
// payload is [stores.ErrNotFound], a payload in another spelling than Save's is
// [stores.ErrMalformed], one that no key verifies is [stores.ErrTampered].
func (s *SignedStore) Load(_ context.Context, tok stores.Token) (stores.Record, error) {
	if tok.Payload == "" {
		return stores.Record{}, errNoPayload
	}
	// securecookie's base64 is not strict: several texts would verify.
	if _, err := tok.DecodePayload(); err != nil {
		return stores.Record{}, err
	}
	if len(tok.Binding) == 0 {
		return stores.Record{}, fmt.Errorf("%w: there is no binding to verify it with", stores.ErrTampered)
	}
	padded := tok.Payload + strings.Repeat("=", -len(tok.Payload)&3)
	for i, codec := range s.codecs {
		var data []byte
		if err := codec().Decode(string(tok.Binding), padded, &data); err == nil {
			return stores.Record{Data: data, Stale: i > 0}, nil
		}
	}
	return stores.Record{}, fmt.Errorf("%w: no key of %d verifies it", stores.ErrTampered, len(s.codecs))
}

// Save signs rec and puts it into the token. It is [stores.ErrTooLarge] where
// rec.Room is less than the payload; a Room of 0 is no room. A token without a
// Binding is refused, since its record could be moved anywhere.
func (s *SignedStore) Save(_ context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return stores.Token{}, "", err
	}
	if len(tok.Binding) == 0 {
		return stores.Token{}, "", errors.New("cookiestore: the token has no Binding to sign; set Token.Binding")
	}
	if len(s.codecs) == 0 {
		return stores.Token{}, "", errors.New("cookiestore: a SignedStore without keys; make it with Signed")
	}
	padded, err := s.codecs[0]().Encode(string(tok.Binding), rec.Data)
	if err != nil {
		return stores.Token{}, "", fmt.Errorf("cookiestore: %w", err)
	}
	payload := strings.TrimRight(padded, "=")
	if err := checkRoom(len(payload), rec.Room); err != nil {
		return stores.Token{}, "", err
	}
	tok.Payload = payload
	return tok, "", nil
}

// Delete does nothing: the record is the client's.
func (*SignedStore) Delete(context.Context, stores.Token, stores.Revision) error { return nil }
