package cookiestore

import (
	"context"
	"fmt"

	"github.com/bulla-go/bulla/stores"
)

// SealedStore is a [stores.Store] that puts sealed records into the cookie. Its
// zero value is ready to use. It is safe for concurrent use, does no I/O and
// ignores contexts.
type SealedStore struct{}

// Sealed returns the store for records that an encryptor has sealed. The
// encryptor's authentication is the only protection: the store takes back
// whatever bytes the client sends, and a manager refuses it with no encryptor.
// The payload is encoded once.
func Sealed() SealedStore { return SealedStore{} }

// Describe implements [stores.Describer].
func (SealedStore) Describe() stores.Info {
	return stores.Info{Name: "cookie", Sealing: stores.SealAlways, NoIO: true}
}

// ClientHolds implements [stores.ClientHolder]; it is always true.
func (SealedStore) ClientHolds(stores.Token, stores.Revision, int, int) bool { return true }

// Load returns the payload's bytes. Expires is zero: the times of a record that
// the client holds are sealed inside it. A token without a payload is
// [stores.ErrNotFound], a payload in another spelling than Save's is
// [stores.ErrMalformed].
func (SealedStore) Load(_ context.Context, tok stores.Token) (stores.Record, error) {
	if tok.Payload == "" {
		return stores.Record{}, errNoPayload
	}
	data, err := tok.DecodePayload()
	if err != nil {
		return stores.Record{}, err
	}
	return stores.Record{Data: data}, nil
}

// Save puts rec into the token. It is [stores.ErrTooLarge] where rec.Room is
// less than the payload; a Room of 0 is no room. A record without Data, which
// no token can carry, is [stores.ErrInvalidRecord].
func (SealedStore) Save(_ context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return stores.Token{}, "", err
	}
	if len(rec.Data) == 0 {
		return stores.Token{}, "", fmt.Errorf("%w: no data; a token has no empty payload", stores.ErrInvalidRecord)
	}
	if err := checkRoom(stores.PayloadChars(len(rec.Data)), rec.Room); err != nil {
		return stores.Token{}, "", err
	}
	tok.Payload = stores.EncodePayload(rec.Data)
	return tok, "", nil
}

// Delete does nothing: the record is the client's.
func (SealedStore) Delete(context.Context, stores.Token, stores.Revision) error { return nil }
