// Package mac authenticates short messages under a ring of keys that can be
// rotated.
package mac

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"github.com/bulla-go/bulla/encrypt"
)

// Ring makes and verifies the MACs: the first key signs, all verify. It is
// HMAC-SHA-256 under keys of its own, derived with the label. It is safe for
// concurrent use; the zero Ring is not usable.
type Ring struct {
	keys []*sync.Pool // of *state
}

type state struct {
	mac hash.Hash
	out [sha256.Size]byte
}

// New returns the Ring of these keys under a label, a constant of the caller. No
// keys, the zero Key, a key that is given twice and an empty label are
// [encrypt.ErrInvalidKey].
func New(label string, keys ...encrypt.Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no keys; give at least one, from GenerateKey", encrypt.ErrInvalidKey)
	}
	r := new(Ring)
	var secrets [][]byte
	for i, k := range keys {
		secret, err := k.Derive(label)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		for j, other := range secrets {
			if hmac.Equal(secret, other) {
				return nil, fmt.Errorf("%w: key %d is the same as key %d; give each key once", encrypt.ErrInvalidKey, i+1, j+1)
			}
		}
		secrets = append(secrets, secret)
		// A pooled state holds the key and, in out, the last tag, which the next
		// use overwrites and nobody is handed. Nothing of a message stays in it.
		r.keys = append(r.keys, &sync.Pool{New: func() any {
			return &state{mac: hmac.New(sha256.New, secret)}
		}})
	}
	return r, nil
}

// Append appends the first size bytes, at most 32, of message's tag under the
// first key to dst.
func (r *Ring) Append(dst, message []byte, size int) []byte {
	s := r.tag(0, message)
	defer r.keys[0].Put(s)
	return append(dst, s.out[:size]...)
}

// All returns the first size bytes, at most 32, of message's tag under each key,
// the first key's first: for finding what was filed under any of them.
func (r *Ring) All(message []byte, size int) [][]byte {
	var tags [][]byte
	for i := range r.keys {
		s := r.tag(i, message)
		tags = append(tags, bytes.Clone(s.out[:size]))
		r.keys[i].Put(s)
	}
	return tags
}

// Verify tells whether tag, of 16 bytes or more, is the beginning of message's
// tag under any key, and whether that key is a retired one: not the first. It
// compares in constant time.
func (r *Ring) Verify(message, tag []byte) (ok, retired bool) {
	if len(tag) < 16 || len(tag) > sha256.Size {
		return false, false
	}
	for i := range r.keys {
		s := r.tag(i, message)
		ok = hmac.Equal(s.out[:len(tag)], tag)
		r.keys[i].Put(s)
		if ok {
			return true, i > 0
		}
	}
	return false, false
}

// tag returns a state with message's tag in out. The caller puts it back.
func (r *Ring) tag(i int, message []byte) *state {
	s := r.keys[i].Get().(*state)
	s.mac.Write(message)
	s.mac.Sum(s.out[:0])
	s.mac.Reset()
	return s
}
