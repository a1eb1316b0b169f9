// Package signed spells records as the cookies of starsessions and Starlette: base64,
// signed with itsdangerous' TimestampSigner.
package signed

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/stores"
)

// TimeSize is how many bytes in front of a record are the Unix seconds at which it is
// signed. A layout has no other way to know, since how old a signature may be is the
// manager's question.
const TimeSize = 8

// skew is how far the clock of the other machine may be ahead.
const skew = time.Minute

var text = base64.StdEncoding.Strict()

// AppendTime appends the time that stands in front of a record.
func AppendTime(dst []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(at.Unix()))
}

// CutTime cuts it off.
func CutTime(data []byte) (at time.Time, rest []byte, err error) {
	if len(data) < TimeSize {
		return at, nil, fmt.Errorf("%w: no time", stores.ErrMalformed)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(data)), 0).UTC(), data[TimeSize:], nil
}

// Codec is a [stores.Codec].
type Codec struct {
	Signer *itsdangerous.TimestampSigner
}

// Encode implements [stores.Codec].
func (c Codec) Encode(data, _ []byte) (string, error) {
	at, data, err := CutTime(data)
	if err != nil {
		return "", err
	}
	return c.Signer.SignAt(text.EncodeToString(data), at), nil
}

// Decode implements [stores.Codec]. It takes a signature of any age, but none of the
// future.
func (c Codec) Decode(payload string, _ []byte) ([]byte, bool, error) {
	got, err := c.Signer.Unsign(payload, 0)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", stores.ErrTampered, err)
	}
	data, err := text.DecodeString(got.Value)
	if err != nil || len(got.Value) != text.EncodedLen(len(data)) || len(data) == 0 { // Go's decoder skips line ends
		return nil, false, fmt.Errorf("%w: what is signed is not base64", stores.ErrMalformed)
	}
	now := time.Now()
	if got.At.After(now.Add(skew)) {
		return nil, false, fmt.Errorf("%w: it is signed in the future", stores.ErrTampered)
	}
	if got.At.After(now) {
		got.At = now
	}
	return append(AppendTime(make([]byte, 0, TimeSize+len(data)), got.At), data...), got.Retired, nil
}
