package serialize

import (
	"errors"
	"fmt"
	"reflect"
)

// Errors of the serializers of this package. They are wrapped; test them with
// errors.Is. The text names the type, the format and the cause, that only as far as
// [Explain] shows it, because it may quote the value; errors.As finds it.
var (
	// ErrEncode: the value has no form in this format.
	ErrEncode = errors.New("serialize: value does not encode")

	// ErrDecode: the bytes are not a value of this type in this format.
	ErrDecode = errors.New("serialize: value does not decode")
)

// Func returns a [Serializer] that uses two functions, for a format of your
// own. They are given what [Serializer] says, and must keep its rules but for
// panics, which become errors as they do in the other serializers. Func fails
// if either is nil.
func Func(marshal func(v any) ([]byte, error), unmarshal func(data []byte, v any) error) (Serializer, error) {
	if marshal == nil || unmarshal == nil {
		return nil, errors.New("serialize: Func needs both functions; one is nil")
	}
	return &codec{"the application's format", marshal, unmarshal}, nil
}

// codec makes a Serializer of two functions: errors without content, and no
// panics. Encoding runs methods of the application's types (MarshalJSON,
// GobEncode), and encoding/gob panics on a nil pointer by design.
type codec struct {
	format    string
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

func (c *codec) Marshal(v any) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
		if err != nil {
			data, err = nil, &codecError{ErrEncode, c.format, reflect.TypeOf(v), err}
		}
	}()
	return c.marshal(v)
}

func (c *codec) Unmarshal(data []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
		if err != nil {
			err = &codecError{ErrDecode, c.format, reflect.TypeOf(v), err}
		}
	}()
	return c.unmarshal(data, v)
}

// codecError keeps the value out of its text.
type codecError struct {
	kind   error // ErrEncode or ErrDecode
	format string
	typ    reflect.Type
	cause  error
}

func (e *codecError) Error() string {
	return fmt.Sprintf("%v as %s: %v: %s", e.kind, e.format, e.typ, Explain(e.cause))
}

func (e *codecError) Unwrap() []error { return []error{e.kind, e.cause} }
