package encrypt

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
)

// Derive returns 32 bytes that are derived from k for another use than this
// package's encryption, such as a MAC. Different labels give independent keys
// (HKDF-SHA-256, RFC 5869, section 3.2). The label is a constant of the caller;
// an empty one, and the zero Key, are [ErrInvalidKey].
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

// MAC authenticates short messages under a ring of keys: the first key signs,
// all verify. It is HMAC-SHA-256 under keys of its own, derived with the label.
// It is safe for concurrent use; the zero MAC is not usable.
type MAC struct {
	keys []*sync.Pool // of *macState
}

type macState struct {
	mac hash.Hash
	out [sha256.Size]byte
}

// NewMAC returns the MAC of these keys under a label. No keys, the zero Key and
// a key that is given twice are [ErrInvalidKey].
func NewMAC(label string, keys ...Key) (*MAC, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no keys; give at least one, from GenerateKey", ErrInvalidKey)
	}
	m := new(MAC)
	for i, k := range keys {
		secret, err := k.Derive(label)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		for j := range i {
			if k.equal(keys[j]) {
				return nil, fmt.Errorf("%w: key %d is the same as key %d; give each key once", ErrInvalidKey, i+1, j+1)
			}
		}
		// A pooled state holds the key and, in out, the last tag, which the next
		// use overwrites and nobody is handed. Nothing of a message stays in it.
		m.keys = append(m.keys, &sync.Pool{New: func() any {
			return &macState{mac: hmac.New(sha256.New, secret)}
		}})
	}
	return m, nil
}

// Append appends the first size bytes, at most 32, of message's tag under the
// first key to dst.
func (m *MAC) Append(dst, message []byte, size int) []byte {
	s := m.tag(0, message)
	defer m.keys[0].Put(s)
	return append(dst, s.out[:size]...)
}

// All returns the first size bytes, at most 32, of message's tag under each key,
// the first key's first: for finding what was filed under any of them.
func (m *MAC) All(message []byte, size int) [][]byte {
	var tags [][]byte
	for i := range m.keys {
		s := m.tag(i, message)
		tags = append(tags, bytes.Clone(s.out[:size]))
		m.keys[i].Put(s)
	}
	return tags
}

// Verify tells whether tag, of 16 bytes or more, is the beginning of message's
// tag under any key, and whether that key is a retired one: not the first. It
// compares in constant time.
func (m *MAC) Verify(message, tag []byte) (ok, retired bool) {
	if len(tag) < 16 || len(tag) > sha256.Size {
		return false, false
	}
	for i := range m.keys {
		s := m.tag(i, message)
		ok = hmac.Equal(s.out[:len(tag)], tag)
		m.keys[i].Put(s)
		if ok {
			return true, i > 0
		}
	}
	return false, false
}

// tag returns a state with message's tag in out. The caller puts it back.
func (m *MAC) tag(i int, message []byte) *macState {
	s := m.keys[i].Get().(*macState)
	s.mac.Write(message)
	s.mac.Sum(s.out[:0])
	s.mac.Reset()
	return s
}
