package cookiestore

import (
	"fmt"

	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/stores"
)

// Sealed returns the store for records that an encryptor has sealed. The
// encryptor's authentication is the only protection: the store takes whatever
// bytes the client sends, and a manager refuses it without an encryptor. A
// record takes 4/3 of its size.
func Sealed() stores.Store { return sealed{} }

type sealed struct{}

// Place implements [stores.Store].
func (s sealed) Place() stores.Place { return stores.Place{Name: "cookie", Cookie: s} }

// Encode implements [stores.Codec]. It ignores the binding.
func (sealed) Encode(data, _ []byte) (string, error) {
	if len(data) == 0 {
		return "", fmt.Errorf("%w: no data; a cookie has no empty payload", stores.ErrInvalidRecord)
	}
	return payload.Encode(data), nil
}

// Decode implements [stores.Codec]. It ignores the binding.
func (sealed) Decode(text string, _ []byte) ([]byte, bool, error) {
	data, err := payload.Decode(text)
	return data, false, err
}
