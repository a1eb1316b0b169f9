package stores

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
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
	errHeadLength   = fmt.Errorf("%w: the ID has neither %d nor %d characters", ErrMalformed, idChars, signedChars)
	errHeadText     = fmt.Errorf("%w: the ID is not base64url", ErrMalformed)
	errEmptyPayload = fmt.Errorf("%w: empty payload", ErrMalformed)
	errPayloadText  = fmt.Errorf("%w: the payload is not base64url", ErrMalformed)
)

// Token is what the client sends: the ID and, where the record or a copy of it
// travels in the cookie, a payload.
//
// Nothing in a Token is trusted because it is there. The ID counts if a store
// has a record under it or if the payload opens under it; the payload counts
// only after it opens.
//
// A Token formats and logs as its ID does. Its copies share the Binding, which
// nobody may change.
type Token struct {
	ID ID

	// Payload is unpadded base64url text; empty where the client holds only
	// the ID. See [Token.DecodePayload].
	Payload string

	// Binding says what this token's record belongs to: application, cookie
	// name and the ID's [Key], each length-prefixed; nothing in it is secret.
	// The manager sets it for Load and Save where no encryptor covers it. A
	// store that authenticates what the client holds must cover it; the
	// others ignore it.
	Binding []byte
}

// ParseToken reads a cookie's value. The grammar is
//
//	value   = head [ "." payload ]
//	head    = 32 base64url characters: the ID
//	        | 54 base64url characters: the ID and a MAC of 16 bytes
//	payload = 1 or more base64url characters
//
// in unpadded base64url (RFC 4648, section 5) with every unused bit zero, so
// that one token has one spelling. mac is nil for the first form of head;
// ParseToken does not verify it, and does not look into the payload, which is
// read by [Token.DecodePayload]. Any other text is [ErrMalformed].
func ParseToken(value string) (tok Token, mac []byte, err error) {
	head, payload, dot := strings.Cut(value, ".")
	if dot && payload == "" {
		return Token{}, nil, errEmptyPayload
	}
	if len(head) != idChars && len(head) != signedChars {
		return Token{}, nil, errHeadLength
	}
	var buf [idSize + MACSize]byte
	n, err := encoding.Decode(buf[:], []byte(head))
	if err != nil || n != encoding.DecodedLen(len(head)) { // see DecodePayload
		return Token{}, nil, errHeadText
	}
	id, secret := newID()
	copy(secret[:], buf[:])
	tok = Token{ID: id, Payload: payload}
	if n > idSize {
		mac = append(mac, buf[idSize:n]...)
	}
	return tok, mac, nil
}

// DecodePayload returns the payload's bytes, or [ErrMalformed] where the text
// is not the one spelling of any.
func (t Token) DecodePayload() ([]byte, error) {
	data, err := encoding.DecodeString(t.Payload)
	// Go's decoder skips line ends, and so gives fewer bytes than so many
	// characters have. Where that can't be seen, one character is too much.
	n := len(t.Payload)
	if err != nil || len(data) == 0 || len(data) != encoding.DecodedLen(n) || n%4 == 1 {
		return nil, errPayloadText
	}
	return data, nil
}

// EncodePayload returns data as the text of a payload.
func EncodePayload(data []byte) string {
	var text strings.Builder
	text.Grow(encoding.EncodedLen(len(data)))
	var chunk [512]byte // of 384 bytes; on the stack, so that the text is copied once
	for len(data) > 0 {
		part := data[:min(len(data), 384)]
		n := encoding.EncodedLen(len(part))
		encoding.Encode(chunk[:n], part)
		text.Write(chunk[:n])
		data = data[len(part):]
	}
	return text.String()
}

// PayloadChars returns the number of characters that size bytes take in a
// payload.
func PayloadChars(size int) int { return encoding.EncodedLen(size) }

// Value returns the text that [ParseToken] reads: what goes into the cookie
// and nowhere else. mac is empty or [MACSize] bytes.
func (t Token) Value(mac []byte) string {
	var value strings.Builder
	value.Grow(HeadChars(len(mac) > 0) + len(t.Payload))
	t.WriteValue(&value, mac)
	return value.String()
}

// WriteValue writes what [Token.Value] returns to b, for a caller that puts more
// around it.
func (t Token) WriteValue(b *strings.Builder, mac []byte) {
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

// String returns the text of the ID's [Key].
func (t Token) String() string { return t.ID.String() }

// Format writes the text of the ID's [Key], whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue gives slog the text of the ID's [Key].
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the text of the ID's [Key]; encoding/json uses it too.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
