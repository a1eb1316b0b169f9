package serialize

import (
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// CBOR encodes values as CBOR (RFC 8949) in its core deterministic form: equal
// values give equal bytes. It is smaller than JSON, takes bytes as they are, and
// keeps more types inside an any: integers come back as int64, other numbers as
// float64, times as time.Time, byte slices as []byte, maps and structs as
// map[string]any. No registration is needed.
//
// A time keeps its nanoseconds and its zone's offset, not the zone's name; the
// offset must be whole minutes, as everywhere since 1972. The zero time inside
// an any comes back as nil. Text keeps its bytes, also where they are not UTF-8,
// which other CBOR readers refuse.
//
// Refused when read: keys that a map has twice, integers over 2^63-1 inside an
// any, more than 32 levels of nesting. A value must not contain itself:
// encoding one ends the program, which no code can prevent.
var CBOR Serializer = newCBOR()

func newCBOR() Serializer {
	encOpts := cbor.CoreDetEncOptions()
	encOpts.Time = cbor.TimeRFC3339Nano
	encOpts.TimeTag = cbor.EncTagRequired
	// Without it a type that only has MarshalText and no exported field
	// would be written as an empty map.
	encOpts.TextMarshaler = cbor.TextMarshalerTextString
	enc, err := encOpts.EncMode()
	if err != nil {
		panic(err) // constant options
	}
	dec, err := cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		TimeTag:         cbor.DecTagRequired, // a number is not a time
		MaxNestedLevels: 32,
		IndefLength:     cbor.IndefLengthForbidden,
		IntDec:          cbor.IntDecConvertSignedOrFail,
		DefaultMapType:  reflect.TypeFor[map[string]any](),
		UTF8:            cbor.UTF8DecodeInvalid, // what Marshal took must come back
		TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
	if err != nil {
		panic(err) // constant options
	}
	return &codec{"CBOR", enc.Marshal, dec.Unmarshal}
}
