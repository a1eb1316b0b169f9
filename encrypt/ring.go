package encrypt

import (
	"bytes"
	"fmt"
	"slices"
)

// Sealed bytes begin with a header:
//
//	version (1 byte, 0x01) | algorithm (1 byte) | key ID (4 bytes)
//
// It tells which key and algorithm to open them with, and is authenticated
// through the derivation of the key in use. What follows is the algorithm's.
const (
	version    = 1
	headerSize = 2 + keyIDSize
)

// An algorithm is one way to seal. Its number is part of the format.
type algorithm struct {
	number byte
	name   string
	sealer func(key []byte) (sealer, error) // key has 32 bytes; no reference to it is kept
}

// A sealer is an algorithm under one key in use, safe for concurrent use.
type sealer interface {
	// size returns the length of the sealed form of n bytes.
	size(n int) int

	// seal appends the sealed form to dst, which has room. The plaintext may
	// lie where it goes, at dst[len(dst):].
	seal(dst, plaintext []byte) []byte

	// open appends the plaintext to dst. With inPlace it leaves dst alone, and
	// the plaintext takes the memory of sealed.
	open(dst, sealed []byte, inPlace bool) ([]byte, error)
}

// Keyring is an [Encryptor] with one or more keys. The first one encrypts, all
// of them open. To rotate, put a new key in front and take the old one out when
// nothing that was sealed under it is wanted any more.
//
// A retired key can still forge: who has it can make bytes that open. A key
// that has leaked must leave the ring.
//
// A Keyring is also a [Rotator] and a [Binder]. The zero Keyring has no keys
// and gives [ErrInvalidKey]; make one with a constructor. Keyrings are
// immutable and safe for concurrent use.
type Keyring struct {
	entries []*entry
}

// entry is one key under one algorithm.
type entry struct {
	alg    *algorithm
	key    Key
	header [headerSize]byte
	derivation
}

// newKeyring makes the ring of one algorithm.
func newKeyring(alg *algorithm, keys []Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no keys for %s; give at least one", ErrInvalidKey, alg.name)
	}
	ring := new(Keyring)
	for i, k := range keys {
		if k.IsZero() {
			return nil, fmt.Errorf("%w: key %d for %s is the zero Key; check the error of what should have made it", ErrInvalidKey, i+1, alg.name)
		}
		e := newEntry(alg, k)
		if clash := ring.clash(e); clash != "" {
			return nil, fmt.Errorf("%w: key %d for %s %s", ErrInvalidKey, i+1, alg.name, clash)
		}
		ring.entries = append(ring.entries, e)
	}
	// FIPS 140-only mode refuses algorithms; better now than in a request.
	if _, err := ring.entries[0].derive([]byte("probe")); err != nil {
		return nil, fmt.Errorf("encrypt: %s can't be used here: %w", alg.name, err)
	}
	return ring, nil
}

func newEntry(alg *algorithm, k Key) *entry {
	e := &entry{alg: alg, key: k}
	e.header[0] = version
	e.header[1] = alg.number
	copy(e.header[2:], k.material().id[:])
	e.derivation.init(k.material().prk)
	return e
}

// clash tells why e can't join the ring: a header must name one entry.
func (r *Keyring) clash(e *entry) string {
	for i, old := range r.entries {
		if old.header != e.header {
			continue
		}
		if old.key.equal(e.key) {
			return fmt.Sprintf("is key %d again; remove one of them", i+1)
		}
		return fmt.Sprintf("happens to have the ID of key %d; generate another one", i+1)
	}
	return ""
}

// NewKeyring joins rings, so that records can move from one algorithm to
// another: the first key of the first ring encrypts, all keys of all rings
// open. It refuses with [ErrInvalidKey] a list without rings, a nil or zero
// ring, and a key that occurs twice under one algorithm.
func NewKeyring(rings ...*Keyring) (*Keyring, error) {
	if len(rings) == 0 {
		return nil, fmt.Errorf("%w: no rings; give at least one", ErrInvalidKey)
	}
	joined := new(Keyring)
	for i, ring := range rings {
		if ring.isZero() {
			return nil, fmt.Errorf("%w: ring %d has no keys; check the error of its constructor", ErrInvalidKey, i+1)
		}
		for j, e := range ring.entries {
			if clash := joined.clash(e); clash != "" {
				return nil, fmt.Errorf("%w: key %d of ring %d, counted over all rings, %s", ErrInvalidKey, j+1, i+1, clash)
			}
			joined.entries = append(joined.entries, e)
		}
	}
	return joined, nil
}

func (r *Keyring) isZero() bool { return r == nil || len(r.entries) == 0 }

// check refuses what no call can work with.
func (r *Keyring) check(binding []byte) error {
	if r.isZero() {
		return fmt.Errorf("%w: a Keyring without keys; make it with a constructor", ErrInvalidKey)
	}
	if len(binding) == 0 {
		return ErrNoBinding
	}
	return nil
}

// Encrypt seals plaintext under the first key; see [Encryptor].
func (r *Keyring) Encrypt(dst, plaintext, binding []byte) ([]byte, error) {
	if err := r.check(binding); err != nil {
		return nil, err
	}
	e := r.entries[0]
	s, err := e.derive(binding)
	if err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, headerSize+s.size(len(plaintext)))
	return s.seal(append(dst, e.header[:]...), plaintext), nil
}

// Decrypt opens what was sealed under any key of the ring; see [Encryptor].
func (r *Keyring) Decrypt(dst, ciphertext, binding []byte) ([]byte, error) {
	if err := r.check(binding); err != nil {
		return nil, err
	}
	i, err := r.find(ciphertext)
	if err != nil {
		return nil, err
	}
	s, err := r.entries[i].derive(binding)
	if err != nil {
		return nil, err
	}
	return s.open(dst, ciphertext[headerSize:], false)
}

// find returns the index of the entry that the header names. The header alone
// decides: no second key or algorithm is tried.
func (r *Keyring) find(ciphertext []byte) (int, error) {
	if len(ciphertext) < headerSize {
		return 0, fmt.Errorf("%w: %d bytes are too few for a header", ErrMalformed, len(ciphertext))
	}
	header := ciphertext[:headerSize]
	for i, e := range r.entries {
		if bytes.Equal(header, e.header[:]) {
			return i, nil
		}
	}
	if header[0] != version {
		return 0, fmt.Errorf("%w: version %d is unknown", ErrMalformed, header[0])
	}
	return 0, fmt.Errorf("%w: algorithm %d, key ID %x", ErrUnknownKey, header[1], header[2:])
}

// Retired tells whether ciphertext was made under another key or algorithm than
// the ring's first; see [Rotator].
func (r *Keyring) Retired(ciphertext []byte) bool {
	return !r.isZero() && !bytes.HasPrefix(ciphertext, r.entries[0].header[:])
}
