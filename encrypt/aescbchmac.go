package encrypt

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/encrypt/internal/cbchmac"
)

var aesCBCHMAC = &algorithm{3, "AES-128-CBC-HMAC-SHA-256", func(key []byte) (sealer, error) {
	k, err := cbchmac.New(key)
	if err != nil {
		return nil, err
	}
	return cbcSealer{k}, nil
}}

// NewAESCBCHMAC returns a ring that seals with AES-128-CBC and HMAC-SHA-256
// (encrypt then MAC), for those whose rules ask for these primitives.
//
// The layout behind the header is that of a Fernet token, and so the time of
// sealing is readable; Decrypt does not look at it. Tokens that other systems read
// are made by package fernet.
//
// The keys are as in [NewAESGCM].
func NewAESCBCHMAC(keys ...Key) (*Keyring, error) { return newKeyring(aesCBCHMAC, keys) }

type cbcSealer struct {
	key *cbchmac.Key
}

func (s cbcSealer) size(n int) int { return cbchmac.Size(n) }

func (s cbcSealer) seal(dst, plaintext []byte) []byte {
	return s.key.Seal(dst, plaintext, time.Now().Unix(), cbchmac.NewIV())
}

func (s cbcSealer) open(dst, sealed []byte, inPlace bool) ([]byte, error) {
	plaintext, _, err := s.key.Open(dst, sealed, inPlace)
	switch err {
	case nil:
		return plaintext, nil
	case cbchmac.ErrMAC:
		return nil, ErrTampered
	}
	return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
}
