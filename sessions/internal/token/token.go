package token

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/bulla-go/bulla/stores"
)

const (
	// MACSize is the length in bytes of the MAC that may follow an ID.
	MACSize = 16

	signedChars = 54 // base64url characters of an ID and its MAC, 40 bytes
)

// encoding is the only base64 of a token. Strict refuses characters whose
// unused bits are set; without it several texts would mean one token.
var encoding = base64.RawURLEncoding.Strict()

// Made once: what anybody can send a million times must cost little to refuse.
var (
	errHeadLength   = fmt.Errorf("%w: the ID has neither %d nor %d characters", stores.ErrMalformed, idChars, signedChars)
	errHeadText     = fmt.Errorf("%w: the ID is not base64url", stores.ErrMalformed)
	errEmptyPayload = fmt.Errorf("%w: empty payload", stores.ErrMalformed)
)

// Token is what the client sends: the ID and, where the record or a copy of it
// travels in the cookie, a payload.
//
// Nothing in a Token is trusted because it is there. The ID counts if a store
// has a record under it or if the payload opens under it; the payload counts
// only after it opens.
//
// A Token formats and logs as its ID does.
type Token struct {
	ID ID

	// Payload is unpadded base64url text; empty where the client holds only
	// the ID.
	Payload string
}

// Parse reads a cookie's value. The grammar is
//
//	value   = head [ "." payload ]
//	head    = 32 base64url characters: the ID
//	        | 54 base64url characters: the ID and a MAC of 16 bytes
//	payload = 1 or more base64url characters
//
// in unpadded base64url (RFC 4648, section 5) with every unused bit zero, so
// that one token has one spelling. mac is nil for the first form of head;
// Parse does not verify it, and does not look into the payload. Any other text is
// [stores.ErrMalformed].
func Parse(value string) (tok Token, mac []byte, err error) {
	head, payload, dot := strings.Cut(value, ".")
	if dot && payload == "" {
		return Token{}, nil, errEmptyPayload
	}
	if len(head) != idChars && len(head) != signedChars {
		return Token{}, nil, errHeadLength
	}
	var buf [idSize + MACSize]byte
	n, err := encoding.Decode(buf[:], []byte(head))
	if err != nil || n != encoding.DecodedLen(len(head)) { // the decoder skips line ends
		return Token{}, nil, errHeadText
	}
	tok = Token{ID: newID(buf[:idSize]), Payload: payload}
	if n > idSize {
		mac = append(mac, buf[idSize:n]...)
	}
	return tok, mac, nil
}

// Value returns the text that [Parse] reads: what goes into the cookie
// and nowhere else. mac is empty or [MACSize] bytes. Of a foreign ID it is the payload
// alone or, without one, the ID's text.
func (t Token) Value(mac []byte) string {
	var value strings.Builder
	value.Grow(HeadChars(len(mac) > 0) + len(t.Payload))
	t.WriteValue(&value, mac)
	return value.String()
}

// WriteValue writes what [Token.Value] returns to b, for a caller that puts more
// around it.
func (t Token) WriteValue(b *strings.Builder, mac []byte) {
	if text, ok := t.ID.foreign(); ok {
		b.WriteString(cmp.Or(t.Payload, text))
		return
	}
	var head [idSize + MACSize]byte
	raw := append(t.ID.AppendSecret(head[:0]), mac...)
	var text [signedChars]byte
	encoding.Encode(text[:], raw)
	b.Write(text[:encoding.EncodedLen(len(raw))])
	if t.Payload != "" {
		b.WriteByte('.')
		b.WriteString(t.Payload)
	}
}

// HeadChars returns the number of characters in front of the payload,
// including the dot.
func HeadChars(signed bool) int {
	if signed {
		return signedChars + 1
	}
	return idChars + 1
}

// String returns the text of the ID's key.
func (t Token) String() string { return t.ID.String() }

// Format writes the text of the ID's key, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue gives slog the text of the ID's key.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the text of the ID's key; encoding/json uses it too.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
