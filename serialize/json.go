package serialize

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// JSON encodes values with encoding/json. It is the default: every field that
// encoding/json keeps comes back, and people can read it.
//
// A value comes back as the type that it is asked for. Inside an any JSON knows
// fewer types than Go: numbers come back as float64, which is exact up to 2^53
// only; times and byte slices as text; structs and maps as map[string]any. Use a
// concrete type, or [CBOR] or [Gob], where that matters. A time keeps its
// nanoseconds and its zone's offset, not the zone's name; the offset must be
// whole minutes, as everywhere since 1972.
//
// Text that is not valid UTF-8 is refused; encoding/json would replace the
// wrong bytes in silence. Characters that matter in HTML are not escaped, since
// the text goes into no page and each would take 6 bytes of a cookie.
var JSON Serializer = &codec{"JSON", marshalJSON, unmarshalJSON}

// replaced is what encoding/json writes for a byte that is not UTF-8. A real
// U+FFFD in a string it writes as three bytes.
var replaced = []byte(`\ufffd`)

func marshalJSON(v any) ([]byte, error) {
	switch v := v.(type) {
	case *string:
		if v != nil && isPlain(*v) {
			data := make([]byte, 0, len(*v)+2)
			return append(append(append(data, '"'), *v...), '"'), nil
		}
	case *int:
		if v != nil {
			return strconv.AppendInt(nil, int64(*v), 10), nil
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	data := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if hasReplaced(data) {
		return nil, Cause("text is not valid UTF-8")
	}
	return data, nil
}

// hasReplaced tells whether data has the escape for U+FFFD: `\ufffd` after an
// even number of backslashes; after an odd number it is text.
func hasReplaced(data []byte) bool {
	for {
		i := bytes.Index(data, replaced)
		if i < 0 {
			return false
		}
		before := len(data[:i]) - len(bytes.TrimRight(data[:i], `\`))
		if before%2 == 0 {
			return true
		}
		data = data[i+len(replaced):]
	}
}

func unmarshalJSON(data []byte, v any) error {
	// The most common values, read as encoding/json reads them but without its
	// decoder. What is not plain goes there too.
	switch v := v.(type) {
	case *string:
		if n := len(data); n >= 2 && data[0] == '"' && data[n-1] == '"' && isPlain(data[1:n-1]) {
			*v = string(data[1 : n-1])
			return nil
		}
	case *int:
		if n, ok := plainInt(data); ok {
			*v = n
			return nil
		}
	}
	return json.Unmarshal(data, v)
}

// isPlain tells whether JSON has text as it is: printable ASCII with nothing to
// escape.
func isPlain[T string | []byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// plainInt reads an integer of up to nine digits, which fits every int.
func plainInt(data []byte) (n int, ok bool) {
	digits := data
	if len(data) > 0 && data[0] == '-' {
		digits = data[1:]
	}
	if len(digits) == 0 || len(digits) > 9 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if len(digits) < len(data) {
		n = -n
	}
	return n, true
}
