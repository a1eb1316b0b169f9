package token

import (
	"encoding/binary"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/mac"
)

// Signer makes and checks the MAC behind an ID. The MAC covers the application
// and the cookie's name, so that a signed ID is worth nothing elsewhere.
type Signer struct {
	mac    *mac.Ring
	prefix []byte
}

// NewSigner returns the signer of one application's cookie.
func NewSigner(audience, name string, keys []encrypt.Key) (*Signer, error) {
	ring, err := mac.New("bulla signed id", keys...)
	if err != nil {
		return nil, err
	}
	var prefix []byte
	for _, s := range []string{audience, name} {
		prefix = binary.AppendUvarint(prefix, uint64(len(s)))
		prefix = append(prefix, s...)
	}
	return &Signer{ring, prefix}, nil
}

func (s *Signer) message(id ID) []byte {
	return id.AppendSecret(append(make([]byte, 0, len(s.prefix)+24), s.prefix...))
}

// Sign returns the MAC of id.
func (s *Signer) Sign(id ID) []byte {
	return s.mac.Append(nil, s.message(id), MACSize)
}

// Verify tells whether mac is id's, and whether it is under a retired key.
func (s *Signer) Verify(id ID, mac []byte) (ok, retired bool) {
	return s.mac.Verify(s.message(id), mac)
}
