// Package fernet makes and reads tokens of the public Fernet specification
// (github.com/fernet/spec), as Python's cryptography package does.
//
// They are for exchange with other systems. They are bound to nothing: a token is
// good wherever its key is. Sessions are sealed by an [encrypt.Encryptor], and no
// session is a Fernet token.
package fernet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/internal/cbchmac"
)

// ErrExpired: the token is older than the caller accepts, or was made more than
// 60 seconds in the future. The other errors are those of package encrypt.
var ErrExpired = errors.New("fernet: token expired")

// skew is how far a token's time may lie ahead of this machine's clock, as the
// specification's vectors have it.
const skew = 60 // seconds

// encoding is base64url with padding. Strict refuses a last character whose
// unused bits are set; without it several texts would mean one token.
var encoding = base64.URLEncoding.Strict()

// Tokens makes and reads the tokens of some keys: the first one encrypts, all of
// them decrypt, like Python's MultiFernet.
//
// Tokens is immutable and safe for concurrent use. The zero Tokens has no keys
// and gives [encrypt.ErrInvalidKey].
type Tokens struct {
	keys []*cbchmac.Key
}

// New returns the Tokens of these keys. [encrypt.ParseKey] reads the text of a
// Fernet key. No keys, the zero Key and a key that is given twice are
// [encrypt.ErrInvalidKey]. Use keys of their own for tokens: unlike every other
// use of a Key, a token is under its very bytes and not under what is derived from
// them.
func New(keys ...encrypt.Key) (*Tokens, error) {
	// The ring has the same rules for its keys.
	if _, err := encrypt.NewAESCBCHMAC(keys...); err != nil {
		return nil, fmt.Errorf("fernet: %w", err)
	}
	t := new(Tokens)
	for i, k := range keys {
		secret, err := base64.RawURLEncoding.DecodeString(k.ExportSecret())
		if err != nil {
			return nil, fmt.Errorf("fernet: key %d: %w", i+1, err)
		}
		key, err := cbchmac.New(secret)
		if err != nil {
			return nil, fmt.Errorf("fernet: key %d: %w", i+1, err)
		}
		t.keys = append(t.keys, key)
	}
	return t, nil
}

func (t *Tokens) check() error {
	if t == nil || len(t.keys) == 0 {
		return fmt.Errorf("fernet: %w: Tokens without keys; make it with New", encrypt.ErrInvalidKey)
	}
	return nil
}

// Encrypt returns a token of plaintext, which may be empty. Everybody can read
// in it when it was made.
func (t *Tokens) Encrypt(plaintext []byte) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	return t.encrypt(plaintext, time.Now().Unix(), cbchmac.NewIV()), nil
}

func (t *Tokens) encrypt(plaintext []byte, unix int64, iv cbchmac.IV) string {
	return encoding.EncodeToString(t.keys[0].Seal(nil, plaintext, unix, iv))
}

// Decrypt returns the plaintext of a token. With a ttl other than 0, a token
// that is older, by the clock of this machine in whole seconds, or that was made
// more than 60 seconds in the future, is [ErrExpired]; a negative ttl has every
// token expired. With a ttl of 0 the time does not count, as in Python.
//
// A token that no key authenticates is [encrypt.ErrTampered]; text of another
// form is [encrypt.ErrMalformed], and so is text that only a lenient decoder would
// read: without padding, with line ends, or with unused bits that are set.
func (t *Tokens) Decrypt(token string, ttl time.Duration) ([]byte, error) {
	return t.decrypt(token, ttl, time.Now().Unix())
}

func (t *Tokens) decrypt(token string, ttl time.Duration, now int64) ([]byte, error) {
	plaintext, unix, err := t.open(token)
	if err != nil {
		return nil, err
	}
	if ttl != 0 && expired(unix, ttl, now) {
		return nil, ErrExpired
	}
	return plaintext, nil
}

func expired(unix uint64, ttl time.Duration, now int64) bool {
	if ttl < 0 || unix > math.MaxInt64 || int64(unix) > now+skew {
		return true
	}
	// In seconds, because a Duration can't hold every age.
	return now-int64(unix) > int64(ttl/time.Second)
}

// Rotate returns token sealed afresh under the first key. Its time stays, so
// that it does not outlive what was asked for. Its errors are those of
// [Tokens.Decrypt] without a ttl.
func (t *Tokens) Rotate(token string) (string, error) {
	plaintext, unix, err := t.open(token)
	if err != nil {
		return "", err
	}
	return t.encrypt(plaintext, int64(unix), cbchmac.NewIV()), nil
}

func (t *Tokens) open(token string) (plaintext []byte, unix uint64, err error) {
	if err := t.check(); err != nil {
		return nil, 0, err
	}
	// Go's base64 decoder skips line ends.
	if strings.ContainsAny(token, "\r\n") {
		return nil, 0, fmt.Errorf("fernet: %w: line end in a token", encrypt.ErrMalformed)
	}
	b, err := encoding.DecodeString(token)
	if err != nil {
		return nil, 0, fmt.Errorf("fernet: %w: not padded base64url", encrypt.ErrMalformed)
	}
	// A token names no key; its MAC tells which one it is.
	for _, k := range t.keys {
		plaintext, unix, err = k.Open(nil, b, false)
		switch err {
		case nil:
			return plaintext, unix, nil
		case cbchmac.ErrMAC:
			continue
		}
		return nil, 0, fmt.Errorf("fernet: %w: %w", encrypt.ErrMalformed, err)
	}
	return nil, 0, fmt.Errorf("fernet: %w", encrypt.ErrTampered)
}
