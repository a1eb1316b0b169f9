package encrypt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// ErrExpired: the token is older than the caller accepts, or was made more than
// 60 seconds in the future.
var ErrExpired = errors.New("encrypt: token expired")

// fernetSkew is how far a token's time may lie ahead of this machine's clock,
// as the specification's vectors have it.
const fernetSkew = 60 // seconds

// fernetEncoding is base64url with padding. Strict refuses a last character
// whose unused bits are set; without it several texts would mean one token.
var fernetEncoding = base64.URLEncoding.Strict()

// FernetTokens makes and reads tokens of the public Fernet specification
// (github.com/fernet/spec), as Python's cryptography package does. The first
// key encrypts, all of them decrypt, like Python's MultiFernet.
//
// It is for tokens that are exchanged with other systems. They are bound to
// nothing: a token is good wherever its key is. To seal sessions use an
// [Encryptor].
//
// FernetTokens is immutable and safe for concurrent use. The zero FernetTokens
// has no keys and gives [ErrInvalidKey].
type FernetTokens struct {
	keys []*fernetKey
}

// NewFernetTokens returns the FernetTokens of these keys. [ParseKey] reads the
// text of a Fernet key. A list without keys, a zero Key and a key that occurs
// twice are [ErrInvalidKey]. Use a key of their own for tokens.
func NewFernetTokens(keys ...Key) (*FernetTokens, error) {
	// The ring has the same rules for its keys.
	if _, err := newKeyring(fernet, keys); err != nil {
		return nil, err
	}
	f := new(FernetTokens)
	for _, k := range keys {
		fk, err := newFernetKey(k.material().secret[:])
		if err != nil {
			return nil, err
		}
		f.keys = append(f.keys, fk)
	}
	return f, nil
}

func (f *FernetTokens) check() error {
	if f == nil || len(f.keys) == 0 {
		return fmt.Errorf("%w: FernetTokens without keys; make it with NewFernetTokens", ErrInvalidKey)
	}
	return nil
}

// Encrypt returns a token of plaintext, which may be empty. Everybody can read
// in it when it was made.
func (f *FernetTokens) Encrypt(plaintext []byte) (string, error) {
	if err := f.check(); err != nil {
		return "", err
	}
	return f.encrypt(plaintext, time.Now().Unix(), newIV()), nil
}

func (f *FernetTokens) encrypt(plaintext []byte, unix int64, iv [16]byte) string {
	return fernetEncoding.EncodeToString(f.keys[0].seal(nil, plaintext, unix, iv))
}

// Decrypt returns the plaintext of a token. With a ttl other than 0, a token
// that is older, by the clock of this machine in whole seconds, or that was made
// more than 60 seconds in the future, is [ErrExpired]; a negative ttl has every
// token expired. With a ttl of 0 the time does not count, as in Python.
//
// A token that no key authenticates is [ErrTampered]; text of another form is
// [ErrMalformed], and so is text that only a lenient decoder would read: without
// padding, with line ends, or with unused bits that are set.
func (f *FernetTokens) Decrypt(token string, ttl time.Duration) ([]byte, error) {
	return f.decrypt(token, ttl, time.Now().Unix())
}

func (f *FernetTokens) decrypt(token string, ttl time.Duration, now int64) ([]byte, error) {
	plaintext, unix, err := f.open(token)
	if err != nil {
		return nil, err
	}
	if ttl != 0 && fernetExpired(unix, ttl, now) {
		return nil, ErrExpired
	}
	return plaintext, nil
}

func fernetExpired(unix uint64, ttl time.Duration, now int64) bool {
	if ttl < 0 || unix > math.MaxInt64 || int64(unix) > now+fernetSkew {
		return true
	}
	// In seconds, because a Duration can't hold every age.
	return now-int64(unix) > int64(ttl/time.Second)
}

// Rotate returns token sealed afresh under the first key. Its time stays, so
// that it does not outlive what was asked for.
func (f *FernetTokens) Rotate(token string) (string, error) {
	plaintext, unix, err := f.open(token)
	if err != nil {
		return "", err
	}
	return f.encrypt(plaintext, int64(unix), newIV()), nil
}

func (f *FernetTokens) open(token string) (plaintext []byte, unix uint64, err error) {
	if err := f.check(); err != nil {
		return nil, 0, err
	}
	// Go's base64 decoder skips line ends.
	if strings.ContainsAny(token, "\r\n") {
		return nil, 0, fmt.Errorf("%w: line end in a token", ErrMalformed)
	}
	b, err := fernetEncoding.DecodeString(token)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: not padded base64url", ErrMalformed)
	}
	// A token names no key; its MAC tells which one it is.
	for _, k := range f.keys {
		plaintext, unix, err = k.open(nil, b, false)
		if !errors.Is(err, ErrTampered) {
			return plaintext, unix, err
		}
	}
	return nil, 0, ErrTampered
}
