package encrypt

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keySize   = 32 // bytes
	keyIDSize = 4  // bytes

	// keySalt separates this package's keys from any other use of the same
	// bytes. keyIDInfo begins with another byte than every info of a record
	// (see derive.go), so that an ID tells nothing of a key in use.
	keySalt   = "bulla encrypt 1"
	keyIDInfo = "key id"
)

// Key is a secret of 32 random bytes. Make one with [GenerateKey], read one
// with [ParseKey].
//
// Formatting, logging, and marshalling a Key as JSON or text give its [Key.ID]
// alone.
//
// The zero Key is no key; every constructor refuses it. Keys are immutable and
// safe for concurrent use. Do not compare them with ==.
type Key struct {
	// Two pointers, because fmt prints unexported fields of an enclosing
	// struct without asking their methods. A pointer it prints as an address,
	// but with a verb that does not fit a pointer, such as %s, it prints what
	// is behind one.
	p **keyMaterial
}

type keyMaterial struct {
	secret [keySize]byte
	prk    []byte // HKDF-Extract of the secret: what keys in use are expanded from
	id     [keyIDSize]byte
}

// NewKey returns the key of b, which must be 32 random bytes. It keeps no
// reference to b.
//
// It refuses with [ErrInvalidKey] what can't be random: a wrong length, two
// equal halves, such as zeros or a short key that was doubled, and text. 32
// random bytes are all printable ASCII once in 6e13 draws (a probability of
// 1.7e-14); a passphrase, or a key that was never decoded, always is.
func NewKey(b []byte) (Key, error) {
	switch {
	case len(b) != keySize: // InsecureKey says so
	case bytes.Equal(b[:keySize/2], b[keySize/2:]):
		return Key{}, fmt.Errorf("%w: its halves are equal; give %d random bytes, from GenerateKey", ErrInvalidKey, keySize)
	case isPrintable(b):
		return Key{}, fmt.Errorf("%w: it is text; give encoded keys to ParseKey and passphrases to KeyFromPassphrase", ErrInvalidKey)
	}
	return InsecureKey(b)
}

// InsecureKey returns the key of b, of which it checks no more than that there are 32
// bytes; another number is [ErrInvalidKey]. It is for a key that another system has
// chosen and that this program must share, such as one that was copied from some
// documentation. Whoever guesses the key reads and forges everything under it. It keeps
// no reference to b.
func InsecureKey(b []byte) (Key, error) {
	if len(b) != keySize {
		return Key{}, fmt.Errorf("%w: it has %d bytes; give %d random bytes, from GenerateKey", ErrInvalidKey, len(b), keySize)
	}
	m := &keyMaterial{secret: [keySize]byte(b)}
	var err error
	if m.prk, err = hkdf.Extract(sha256.New, m.secret[:], []byte(keySalt)); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	id, err := hkdf.Expand(sha256.New, m.prk, keyIDInfo, keyIDSize)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	m.id = [keyIDSize]byte(id)
	return Key{&m}, nil
}

func (k Key) material() *keyMaterial { return *k.p }

func isPrintable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// ParseKey reads the text of a key: 32 bytes in base64 (either alphabet, padded
// or not) or 64 hexadecimal digits. White space around the text is ignored,
// since keys come from files and environment variables. Everything that
// [NewKey] refuses is refused, with [ErrInvalidKey].
func ParseKey(s string) (Key, error) {
	b, ok := decodeKey(strings.TrimSpace(s))
	if !ok {
		return Key{}, fmt.Errorf("%w: the text is neither %d bytes in base64 nor %d hexadecimal digits; make one with GenerateKey and ExportSecret, or openssl rand -base64 32",
			ErrInvalidKey, keySize, 2*keySize)
	}
	return NewKey(b)
}

func decodeKey(s string) ([]byte, bool) {
	if len(s) == 2*keySize {
		b, err := hex.DecodeString(s)
		return b, err == nil
	}
	s = strings.TrimSuffix(s, "=")
	if len(s) != base64.RawURLEncoding.EncodedLen(keySize) {
		return nil, false
	}
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		// Go's decoder skips line ends; with one inside, NewKey gets too few
		// bytes.
		if b, err := enc.Strict().DecodeString(s); err == nil {
			return b, true
		}
	}
	return nil, false
}

// GenerateKey draws a new key from crypto/rand.
func GenerateKey() Key {
	for {
		var b [keySize]byte
		rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
		// NewKey refuses one draw in 6e13; what is exported must parse.
		if k, err := NewKey(b[:]); err == nil {
			return k
		}
	}
}

// ExportSecret returns the secret itself, as 43 characters of unpadded
// base64url that [ParseKey] reads. Who holds it opens and forges everything
// that is sealed under it. It is for tools that make keys and put them into a
// secret store; never log it. The zero Key gives "".
func (k Key) ExportSecret() string {
	if k.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(k.material().secret[:])
}

// Derive returns 32 bytes that are derived from k for another use than this
// package's encryption, such as a MAC. Different labels give independent keys
// (HKDF-SHA-256, RFC 5869, section 3.2). The label is a constant of the caller;
// an empty one, and the zero Key, are [ErrInvalidKey]. Most users won't need this.
func (k Key) Derive(label string) ([]byte, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: the zero Key; make one with GenerateKey or ParseKey", ErrInvalidKey)
	}
	if label == "" {
		return nil, fmt.Errorf("%w: it can't be derived under an empty label", ErrInvalidKey)
	}
	// "label" keeps these infos apart from a record's, which begins with a
	// version byte, and from the key ID's.
	return hkdf.Expand(sha256.New, k.material().prk, "label "+label, sha256.Size)
}

// ID returns 8 hexadecimal digits that tell keys apart in logs. They are a one-way
// hash of the secret, so they say nothing of one that can't be guessed; but they
// verify guesses, such as of a passphrase (see [KeyFromPassphrase]). The same digits
// stand in front of everything that is sealed under the key. The zero Key gives "".
func (k Key) ID() string {
	if k.IsZero() {
		return ""
	}
	return hex.EncodeToString(k.material().id[:])
}

// IsZero tells whether k is the zero Key, which is no key.
func (k Key) IsZero() bool { return k.p == nil }

// equal compares the secrets of two keys, neither of them zero, in constant
// time.
func (k Key) equal(other Key) bool {
	return subtle.ConstantTimeCompare(k.material().secret[:], other.material().secret[:]) == 1
}

// String returns the key's ID in the form "encrypt.Key(id 1a2b3c4d)".
func (k Key) String() string {
	if k.IsZero() {
		return "encrypt.Key(zero)"
	}
	return "encrypt.Key(id " + k.ID() + ")"
}

// Format writes the same as [Key.String], whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue gives slog the same as [Key.String].
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the same as [Key.String]; encoding/json uses it too.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
