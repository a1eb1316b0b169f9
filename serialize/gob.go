package serialize

import (
	"bytes"
	"encoding/gob"
	"reflect"
)

// Gob encodes values with encoding/gob. It keeps Go's types, also inside an any,
// where every type but the basic ones and their slices must be registered
// first, at init time:
//
//	gob.Register(map[string]any{})
//	gob.Register(time.Time{})
//
// A type without exported fields and a nil pointer are refused. Gob leaves zero
// fields out, so a field that is a pointer to zero, or an empty slice, comes
// back nil; a nil map comes back empty. Each value carries a description of its type: a struct takes 50
// bytes and more over its content, which is a lot in a cookie. A value must not
// contain itself: encoding one ends the program, which no code can prevent.
//
// encoding/gob is not hardened against hostile input. Use it where records are
// encrypted or signed.
var Gob Serializer = &codec{"gob", marshalGob, unmarshalGob}

func marshalGob(v any) ([]byte, error) {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(v); err != nil {
		return nil, err
	}
	// Gob panics on a nil pointer, but takes a pointer to one for no value at
	// all and writes what can't be read back. Checked afterwards, because
	// Encode refuses pointer types that lead to themselves.
	for p := reflect.ValueOf(v); p.Kind() == reflect.Pointer; p = p.Elem() {
		if p.IsNil() {
			return nil, Cause("nil pointer")
		}
	}
	return buf.Bytes(), nil
}

func unmarshalGob(data []byte, v any) error {
	if v == nil {
		return Cause("nil") // gob would drop the value and say nothing
	}
	// bytes.Reader is an io.ByteReader: gob reads no further than the value.
	r := bytes.NewReader(data)
	if err := gob.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	if r.Len() > 0 {
		return Cause("bytes after the value")
	}
	return nil
}
