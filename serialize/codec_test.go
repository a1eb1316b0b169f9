package serialize_test

import (
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

func init() {
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(time.Time{})
}

var serializers = map[string]serialize.Serializer{
	"JSON": serialize.JSON,
	"gob":  serialize.Gob,
	"CBOR": serialize.CBOR,
}

type user struct {
	Name    string
	Age     int64
	Seen    time.Time
	Tags    []string
	Photo   []byte
	Nested  map[string]map[string]int
	Manager *user
	private int
}

// there and back through s, as a typed key does it: pointers on both sides.
func roundTrip[T any](t *testing.T, s serialize.Serializer, v T) T {
	t.Helper()
	data, err := s.Marshal(&v)
	require.NoError(t, err)
	var got T
	require.NoError(t, s.Unmarshal(data, &got))
	return got
}

func same[T any](t *testing.T, s serialize.Serializer, v T) {
	t.Helper()
	require.Equal(t, v, roundTrip(t, s, v))
}

func sameTime(t *testing.T, want, got time.Time) {
	t.Helper()
	require.True(t, want.Equal(got), "%v, %v", want, got)
	_, wantOffset := want.Zone()
	_, gotOffset := got.Zone()
	require.Equal(t, wantOffset, gotOffset)
}

var zoned = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 5*3600+45*60))

func TestTypesSurvive(t *testing.T) {
	for name, s := range serializers {
		t.Run(name, func(t *testing.T) {
			same(t, s, int64(math.MaxInt64))
			same(t, s, int64(math.MinInt64))
			same(t, s, uint64(math.MaxUint64))
			same(t, s, 0)
			same(t, s, 0.1)
			same(t, s, math.MaxFloat64)
			same(t, s, true)
			same(t, s, "")
			same(t, s, "Zürich, 東京, \U0001F9C2, \ufffd, <&>, \u2028, \\ufffd, \\\\ufffd, \x00")
			same(t, s, []byte{0, 1, 0xff})
			same(t, s, []string{"a", "b"})
			same(t, s, map[string]map[string]int{"a": {"b": 1, "": 0}})
			same(t, s, map[string]int{})
			same(t, s, [3]int{1, 0, 3})
			same[any](t, s, "text")
			same[any](t, s, 1.5)
			same[any](t, s, true)
			same[any](t, s, nil)
			same[any](t, s, map[string]any{"a": []any{"b", true}})
			sameTime(t, zoned, roundTrip(t, s, zoned))
			sameTime(t, time.Time{}, roundTrip(t, s, time.Time{}))

			seven := 7
			same(t, s, &seven)
			u := user{
				Name: "Zoë", Age: math.MaxInt64, Seen: zoned.UTC(),
				Tags: []string{"x"}, Photo: []byte{0xff},
				Nested:  map[string]map[string]int{"a": {"b": 1}},
				Manager: &user{Name: "M"},
			}
			same(t, s, u)
			same(t, s, &u)
		})
	}
}

func TestNilAndEmpty(t *testing.T) {
	for _, s := range []serialize.Serializer{serialize.JSON, serialize.CBOR} {
		same(t, s, []int(nil))
		same(t, s, []int{})
		same(t, s, []byte(nil))
		same(t, s, (*user)(nil))
		same(t, s, map[string]int(nil))
		same(t, s, struct{ N *int }{new(int)})
	}
	require.Empty(t, roundTrip(t, serialize.Gob, []int(nil)))
	require.Empty(t, roundTrip(t, serialize.Gob, map[string]int(nil)))
	require.Empty(t, roundTrip(t, serialize.Gob, []int{}))
}

// What a Firestore query gives must survive inside a session.
func TestDocumentInAny(t *testing.T) {
	for _, s := range []serialize.Serializer{serialize.CBOR, serialize.Gob} {
		doc := func() map[string]any {
			return map[string]any{
				"n":      int64(math.MaxInt64),
				"minus":  int64(-1),
				"float":  2.0,
				"bytes":  []byte{1, 2},
				"list":   []any{int64(1), "b", map[string]any{"c": false}},
				"nested": map[string]any{"text": "ü", "deeper": map[string]any{"n": int64(1)}},
			}
		}
		check := func(got map[string]any) {
			t.Helper()
			at, ok := got["at"].(time.Time)
			require.True(t, ok, "%T", got["at"])
			sameTime(t, zoned, at)
			delete(got, "at")
			require.Equal(t, doc(), got)
		}
		withTime := doc()
		withTime["at"] = zoned
		check(roundTrip(t, s, withTime))
		check(roundTrip[any](t, s, withTime).(map[string]any))
	}
}

func TestJSONInAny(t *testing.T) {
	got := roundTrip[any](t, serialize.JSON, map[string]any{"n": int64(1), "at": zoned})
	require.Equal(t, map[string]any{"n": 1.0, "at": "2026-03-01T12:00:00.123456789+05:45"}, got)
}

type panics struct{ N int }

func (panics) MarshalJSON() ([]byte, error) { panic("content") }
func (panics) MarshalCBOR() ([]byte, error) { panic("content") }
func (panics) GobEncode() ([]byte, error)   { panic("content") }
func (*panics) UnmarshalJSON([]byte) error  { panic("content") }
func (*panics) UnmarshalCBOR([]byte) error  { panic("content") }
func (*panics) GobDecode([]byte) error      { panic("content") }

func TestDoesNotEncode(t *testing.T) {
	values := map[string]any{
		"chan":           new(chan int),
		"func":           new(func()),
		"chan in struct": &struct{ C chan int }{make(chan int)},
		"chan in any":    new(any(make(chan int))),
		"panics":         &panics{},
	}
	only := map[string]map[string]any{
		"JSON": {
			"NaN":                  new(math.NaN()),
			"Inf":                  new(math.Inf(1)),
			"not UTF-8":            new("secret\xff"),
			"not UTF-8 as map key": &map[string]int{"\xff": 1},
			"not UTF-8 after text": new(`\ufffd` + "\\\xff"),
		},
		"gob": {
			"nil":            nil,
			"nil pointer":    (*user)(nil),
			"pointer to nil": new(*user),
			"nil in any":     new(any((*user)(nil))),
			"unregistered":   new(any(struct{ A int }{1})),
			"no fields":      &struct{ a int }{1},
		},
	}
	for name, s := range serializers {
		for what, v := range values {
			if name != "JSON" && name != "CBOR" && what == "chan in struct" {
				continue // gob leaves such fields out
			}
			data, err := s.Marshal(v)
			require.ErrorIs(t, err, serialize.ErrEncode, "%s: %s", name, what)
			require.Nil(t, data)
			require.NotContains(t, err.Error(), "content")
		}
		for what, v := range only[name] {
			_, err := s.Marshal(v)
			require.ErrorIs(t, err, serialize.ErrEncode, "%s: %s", name, what)
			require.NotContains(t, err.Error(), "secret")
		}
	}
}

func TestDoesNotDecode(t *testing.T) {
	for name, s := range serializers {
		encode := func(v any) []byte {
			data, err := s.Marshal(v)
			require.NoError(t, err)
			return data
		}
		text, number := encode(new("secret")), encode(new(1234567))
		tests := []struct {
			what string
			data []byte
			into any
		}{
			{"text into int", text, new(int)},
			{"text into struct", text, new(user)},
			{"text into map", text, new(map[string]int)},
			{"text into time", text, new(time.Time)},
			{"text into slice", text, new([]string)},
			{"number into text", number, new(string)},
			{"number into time", number, new(time.Time)},
			{"number into int8", number, new(int8)},
			{"struct into int", encode(&user{Name: "secret"}), new(int)},
			{"float into int", encode(new(1.5)), new(int)},
			{"nothing", nil, new(string)},
			{"cut off", text[:len(text)-1], new(string)},
			{"trailing bytes", append(encode(new("a")), encode(new("b"))...), new(string)},
			{"panics", encode(&struct{ N int }{1}), new(panics)},
			{"into nil", text, nil},
			{"into a nil pointer", text, (*string)(nil)},
			{"into no pointer", text, ""},
		}
		for _, tt := range tests {
			err := s.Unmarshal(tt.data, tt.into)
			require.ErrorIs(t, err, serialize.ErrDecode, "%s: %s", name, tt.what)
			for _, content := range []string{"secret", "1234567", "content"} {
				require.NotContains(t, err.Error(), content)
			}
		}
	}
}

func TestCBORRefuses(t *testing.T) {
	for what, data := range map[string]string{
		"duplicate key":     "\xa2\x61a\x01\x61a\x02",
		"too deep":          strings.Repeat("\x81", 33) + "\x01",
		"indefinite length": "\x9f\x01\xff",
		"over int64":        "\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		var got any
		require.ErrorIs(t, serialize.CBOR.Unmarshal([]byte(data), &got), serialize.ErrDecode, what)
	}
}

func TestNotUTF8(t *testing.T) {
	same(t, serialize.Gob, "\xff")
	same(t, serialize.CBOR, "\xff")
	same(t, serialize.CBOR, map[string]string{"\xff": "\xfe"})
}

// hidden has no exported field: only its methods know its content.
type hidden struct{ text string }

func (h hidden) MarshalText() ([]byte, error)  { return []byte(h.text), nil }
func (h *hidden) UnmarshalText(b []byte) error { h.text = string(b); return nil }

func TestTextMarshaler(t *testing.T) {
	for _, s := range []serialize.Serializer{serialize.JSON, serialize.CBOR} {
		same(t, s, hidden{"text"})
		same(t, s, map[string]hidden{"a": {"b"}})
	}
	_, err := serialize.Gob.Marshal(&hidden{"text"})
	require.ErrorIs(t, err, serialize.ErrEncode)
}

func TestCBORIsDeterministic(t *testing.T) {
	m := map[string]float64{}
	for _, name := range strings.Split("the quick brown fox jumps over a lazy dog", " ") {
		m[name] = 1
	}
	want, err := serialize.CBOR.Marshal(&m)
	require.NoError(t, err)
	for range 10 {
		data, err := serialize.CBOR.Marshal(&m)
		require.NoError(t, err)
		require.Equal(t, want, data)
	}
}

// A value that was set must not share memory with the bytes it came from.
func TestUnmarshalCopies(t *testing.T) {
	for name, s := range serializers {
		data, err := s.Marshal(new([]byte("abc")))
		require.NoError(t, err)
		var got []byte
		require.NoError(t, s.Unmarshal(data, &got))
		clear(data)
		require.Equal(t, "abc", string(got), name)
	}
}

func TestJSONIsSmall(t *testing.T) {
	data, err := serialize.JSON.Marshal(new("<a href='?a&b'>"))
	require.NoError(t, err)
	require.Equal(t, `"<a href='?a&b'>"`, string(data))
}

func TestFunc(t *testing.T) {
	marshal := func(v any) ([]byte, error) { return []byte(*v.(*string)), nil }
	unmarshal := func(data []byte, v any) error { *v.(*string) = string(data); return nil }
	s, err := serialize.Func(marshal, unmarshal)
	require.NoError(t, err)
	same(t, s, "text")

	_, err = s.Marshal(new(7)) // the type assertion panics
	require.ErrorIs(t, err, serialize.ErrEncode)
	require.ErrorIs(t, s.Unmarshal([]byte("7"), new(int)), serialize.ErrDecode)

	_, err = serialize.Func(nil, unmarshal)
	require.Error(t, err)
	_, err = serialize.Func(marshal, nil)
	require.Error(t, err)
}

func TestCause(t *testing.T) {
	cause := errors.New("cause")
	s, err := serialize.Func(
		func(any) ([]byte, error) { return []byte("left over"), cause },
		func([]byte, any) error { return cause },
	)
	require.NoError(t, err)
	data, err := s.Marshal(new(1))
	require.ErrorIs(t, err, cause)
	require.Nil(t, data)
	require.EqualError(t, err, "serialize: value does not encode as the application's format: *int: a *errors.errorString")
	require.ErrorIs(t, s.Unmarshal(nil, new(1)), cause)
}

// The text says why, where that can't carry content.
func TestCausesThatAreShown(t *testing.T) {
	words := func(any) ([]byte, error) {
		return nil, fmt.Errorf("%w: secret", serialize.Cause("a cart needs a currency"))
	}
	own, err := serialize.Func(words, func([]byte, any) error { return nil })
	require.NoError(t, err)
	for text, f := range map[string]func() error{
		"*string: text is not valid UTF-8": func() error {
			_, err := serialize.JSON.Marshal(new("secret\xff"))
			return err
		},
		"*func(): json: unsupported type: func()": func() error {
			_, err := serialize.JSON.Marshal(new(func()))
			return err
		},
		"*map[string]interface {}: cbor: unsupported type: chan int": func() error {
			_, err := serialize.CBOR.Marshal(&map[string]any{"secret": make(chan int)})
			return err
		},
		"**string: nil pointer": func() error {
			_, err := serialize.Gob.Marshal(new(*string))
			return err
		},
		"*string: bytes after the value": func() error {
			data, err := serialize.Gob.Marshal(new("secret"))
			require.NoError(t, err)
			return serialize.Gob.Unmarshal(append(data, data...), new(string))
		},
		"*string: cut off": func() error {
			data, err := serialize.Gob.Marshal(new("secret"))
			require.NoError(t, err)
			return serialize.Gob.Unmarshal(data[:len(data)-1], new(string))
		},
		"*int: a *json.UnmarshalTypeError": func() error { return serialize.JSON.Unmarshal([]byte(`"secret"`), new(int)) },
		"*int: a *json.SyntaxError":        func() error { return serialize.JSON.Unmarshal([]byte(`secret`), new(int)) },
		"*serialize_test.panics: a panic with a string": func() error {
			return serialize.JSON.Unmarshal([]byte(`"secret"`), new(panics))
		},
		"*string: a cart needs a currency": func() error {
			_, err := own.Marshal(new("secret"))
			return err
		},
	} {
		err := f()
		require.Error(t, err, text)
		require.True(t, strings.HasSuffix(err.Error(), ": "+text), "got %v, want %s", err, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestSerializersAreComparable(t *testing.T) {
	require.True(t, serialize.JSON != serialize.CBOR)
}
