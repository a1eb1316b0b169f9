package pyjson

import (
	"fmt"
	"iter"
	"maps"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/bulla-go/bulla/internal/envelope"
)

// Object is a JSON object cut into members whose values are as they were written.
type Object struct {
	// Values by name. Of a name that comes twice it is the last, as in Python.
	Values map[string][]byte

	// Rest are the members whose names no session of ours can have: an empty one,
	// one of more than 255 bytes, one with half a surrogate. It is their text, with
	// commas between.
	Rest []byte
}

// maxName is the most that a name of a value has (see envelope).
const maxName = 255 // bytes

// Cut takes an object apart. The values share memory with text.
func Cut(text []byte) (Object, error) {
	o := Object{Values: make(map[string][]byte)}
	s := scanner{text: text}
	s.space()
	if !utf8.Valid(text) || !s.next('{') {
		return Object{}, ErrSyntax
	}
	s.space()
	for more := !s.next('}'); more; {
		s.space()
		start := s.at
		if !s.str() {
			return Object{}, ErrSyntax
		}
		raw := text[start:s.at]
		s.space()
		if !s.next(':') {
			return Object{}, ErrSyntax
		}
		s.space()
		from := s.at
		if !s.value() {
			return Object{}, ErrSyntax
		}
		value := text[from:s.at:s.at]
		if name, ok := decodeName(raw); ok && name != "" && len(name) <= maxName {
			o.Values[name] = value
		} else {
			o.Rest = appendMember(o.Rest, raw, value)
		}
		s.space()
		if more = s.next(','); !more && !s.next('}') {
			return Object{}, ErrSyntax
		}
	}
	if s.space(); s.at != len(text) {
		return Object{}, ErrSyntax
	}
	return o, nil
}

// Take returns a member and removes it; nil where there is none.
func (o *Object) Take(name string) []byte {
	value := o.Values[name]
	delete(o.Values, name)
	return value
}

// Envelope returns the members as a session's values.
func (o *Object) Envelope() (envelope.Values, error) { return envelope.NewValues(maps.All(o.Values)) }

// Append writes an object of the members to dst, in the form of Python's json.dumps:
// names in ASCII, spaces after commas and colons. The values are taken as they are; one
// that is not JSON, and a name that is not UTF-8, are [envelope.ErrInvalid].
func Append(dst []byte, members iter.Seq2[string, []byte], rest []byte) ([]byte, error) {
	start := len(dst) + 1
	dst = append(dst, '{')
	for name, value := range members {
		s := scanner{text: value}
		if !utf8.ValidString(name) || !utf8.Valid(value) || !s.value() || s.at != len(value) {
			return nil, fmt.Errorf("%w: the name of a value is not UTF-8, or the value is not JSON, as the other system needs it", envelope.ErrInvalid)
		}
		if len(dst) > start {
			dst = append(dst, ", "...)
		}
		dst = AppendString(dst, name)
		dst = append(append(dst, ": "...), value...)
	}
	if len(rest) > 0 && len(dst) > start {
		dst = append(dst, ", "...)
	}
	return append(append(dst, rest...), '}'), nil
}

// AppendMember adds a member to the text of some.
func AppendMember(members []byte, name string, value []byte) []byte {
	return appendMember(members, AppendString(nil, name), value)
}

func appendMember(members, raw, value []byte) []byte {
	if len(members) > 0 {
		members = append(members, ", "...)
	}
	members = append(members, raw...)
	return append(append(members, ": "...), value...)
}

// AppendString writes a string as Python does where ensure_ascii is on.
func AppendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r < ' ' && strings.IndexByte("\b\f\n\r\t", byte(r)) >= 0:
			dst = append(dst, '\\', "bfnrt"[strings.IndexByte("\b\f\n\r\t", byte(r))])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}
