package stores

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"unique"
)

const keySize = 24 // bytes

// Key names a record. For a session it is a one-way hash of its ID, for an owner
// a keyed hash of the user's: nobody can log in with it, and logs may show it.
// Keys are comparable. The zero Key names nothing.
//
// A Key of [ForeignKey] has a secret, its Name, and prints as a hash all the same.
type Key struct {
	hash [keySize]byte

	// name is that of a foreign key. A handle, so that keys compare, and fmt, which
	// may print what lies in a struct without asking its methods, finds a pointer.
	name unique.Handle[string]
}

// NewKey returns the key of a hash.
func NewKey(hash [keySize]byte) Key { return Key{hash: hash} }

// foreignDomain separates this use of SHA-256 from every other.
const foreignDomain = "bulla foreign key 1\x00"

// ForeignKey returns the key of a session that another system files under name, which
// most often is the session's ID in the clear: who reads the store can log in with it,
// and so can who sees the Name. An empty name gives the zero Key.
func ForeignKey(name string) Key {
	if name == "" {
		return Key{}
	}
	sum := sha256.Sum256([]byte(foreignDomain + name))
	return Key{[keySize]byte(sum[:]), unique.Make(name)}
}

// keyText is strict, so that a key has one name.
var keyText = base64.RawURLEncoding.Strict()

// ParseKey returns the key whose name this is. Any other text is [ErrMalformed].
func ParseKey(name string) (Key, error) {
	var k Key
	// The length comes first: the decoder panics where its target is too short.
	// It skips line ends, so the length alone does not tell.
	if len(name) == keyText.EncodedLen(keySize) {
		if n, err := keyText.Decode(k.hash[:], []byte(name)); err == nil && n == keySize {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("%w: not the name of a key", ErrMalformed)
}

// Name returns what a store files the record under: 32 characters of base64url or, of
// a foreign key, the other system's text.
func (k Key) Name() string {
	if k.Foreign() {
		return k.name.Value()
	}
	return k.String()
}

// Foreign tells whether k is a [ForeignKey].
func (k Key) Foreign() bool { return k.name != unique.Handle[string]{} }

// Hash returns the bytes of the key, to spread keys by; of a foreign key, those of its
// name's hash.
func (k Key) Hash() [keySize]byte { return k.hash }

// IsZero tells whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// String returns the key's hash as text, for logs.
func (k Key) String() string { return keyText.EncodeToString(k.hash[:]) }

// MarshalText returns the same as [Key.String].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
