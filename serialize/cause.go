package serialize

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// Cause is why a value does not encode or decode, in words that carry nothing of
// the value. Messages show it. Of every other cause they show the type alone, since
// encoding/json and package time, for two, quote the value in theirs. A serializer of
// your own can fail with one too: serialize.Cause("a cart needs a currency").
type Cause string

// Error returns the text of c.
func (c Cause) Error() string { return string(c) }

// Explain returns what a message may show of a serializer's error: the text of its
// innermost cause where that can't carry content, and otherwise the cause's type. Most
// users won't need it.
func Explain(err error) string {
	switch cause := innermost(err).(type) {
	case Cause:
		return cause.Error()
	case *json.UnsupportedTypeError, *cbor.UnsupportedTypeError:
		return cause.Error() // which names a type
	case panicked:
		return fmt.Sprintf("a panic with a %T", cause.value)
	default:
		if cause == io.EOF || cause == io.ErrUnexpectedEOF {
			return "cut off"
		}
		return fmt.Sprintf("a %T", cause)
	}
}

func innermost(err error) error {
	for {
		if one := errors.Unwrap(err); one != nil {
			err = one
		} else if list, ok := err.(interface{ Unwrap() []error }); ok && len(list.Unwrap()) > 0 {
			err = list.Unwrap()[len(list.Unwrap())-1] // kind, then cause
		} else {
			return err
		}
	}
}

// panicked is the cause where a method of the value panicked.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }
