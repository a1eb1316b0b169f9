package stores

import (
	"encoding/base64"
	"fmt"
)

const keySize = 24 // bytes

// Key names a record. For a session it is a one-way hash of its ID, for an owner
// a keyed hash of the user's: nobody can log in with it, and logs may show it.
// Keys are comparable. The zero Key names nothing.
type Key struct {
	hash [keySize]byte
}

// NewKey returns the key of a hash.
func NewKey(hash [keySize]byte) Key { return Key{hash} }

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

// Name returns what a store files the record under: 32 characters of base64url.
func (k Key) Name() string { return keyText.EncodeToString(k.hash[:]) }

// Hash returns the bytes of the key, to spread keys by.
func (k Key) Hash() [keySize]byte { return k.hash }

// IsZero tells whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// String returns the key's hash as text, for logs.
func (k Key) String() string { return keyText.EncodeToString(k.hash[:]) }

// MarshalText returns the same as [Key.String].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
