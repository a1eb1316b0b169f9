package middleware

import (
	"encoding/binary"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
)

// signer makes and checks the MAC behind an ID. The MAC covers the application
// and the cookie's name, so that a signed ID is worth nothing elsewhere.
type signer struct {
	mac    *encrypt.MAC
	prefix []byte
}

func newSigner(audience, name string, keys []encrypt.Key) (*signer, error) {
	mac, err := encrypt.NewMAC("bulla signed id", keys...)
	if err != nil {
		return nil, err
	}
	var prefix []byte
	for _, s := range []string{audience, name} {
		prefix = binary.AppendUvarint(prefix, uint64(len(s)))
		prefix = append(prefix, s...)
	}
	return &signer{mac, prefix}, nil
}

func (s *signer) message(id stores.ID) []byte {
	return id.AppendSecret(append(make([]byte, 0, len(s.prefix)+24), s.prefix...))
}

func (s *signer) sign(id stores.ID) []byte {
	return s.mac.Append(nil, s.message(id), stores.MACSize)
}

// verify tells whether mac is id's, and whether it is under a retired key.
func (s *signer) verify(id stores.ID, mac []byte) (ok, retired bool) {
	return s.mac.Verify(s.message(id), mac)
}
