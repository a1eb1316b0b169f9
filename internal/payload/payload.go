// Package payload reads and writes the text in which a record travels in a
// cookie: unpadded base64url (RFC 4648, section 5) with every unused bit zero,
// so that one record has one spelling.
package payload

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/bulla-go/bulla/stores"
)

// encoding is strict: it refuses characters whose unused bits are set. Without
// that several texts would mean one record.
var encoding = base64.RawURLEncoding.Strict()

// Made once: what anybody can send a million times must cost little to refuse.
var errText = fmt.Errorf("%w: not base64url", stores.ErrMalformed)

// Chars returns the number of characters that size bytes take.
func Chars(size int) int { return encoding.EncodedLen(size) }

// Encode returns data as text. Of no data it is empty, which no cookie carries.
func Encode(data []byte) string {
	var text strings.Builder
	text.Grow(Chars(len(data)))
	var chunk [512]byte // of 384 bytes; on the stack, so that the text is copied once
	for len(data) > 0 {
		part := data[:min(len(data), 384)]
		n := Chars(len(part))
		encoding.Encode(chunk[:n], part)
		text.Write(chunk[:n])
		data = data[len(part):]
	}
	return text.String()
}

// Decode returns the bytes of text, or [stores.ErrMalformed] where Encode would
// not have written it or it is empty.
func Decode(text string) ([]byte, error) {
	data, err := encoding.DecodeString(text)
	// Go's decoder skips line ends, and so gives fewer bytes than so many
	// characters have. Where that can't be seen, one character is too much.
	n := len(text)
	if err != nil || len(data) == 0 || len(data) != encoding.DecodedLen(n) || n%4 == 1 {
		return nil, errText
	}
	return data, nil
}
