// Package gobs decodes what another library has encoded by encoding/gob, from where it
// is not as safe as in one's own memory. encoding/gob trusts the counts in its input: a
// record of a hundred bytes that names a map of 2³³ entries ends the process, and no
// recover helps. So a record is walked through first, by the description of its types
// that it carries.
package gobs

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
)

// MaxSize is how long a record may be.
const MaxSize = 1 << 20

// ErrTooLarge: the record is longer than MaxSize.
var ErrTooLarge = errors.New("the record is over 1 MiB, more than a session is expected to hold")

// Decode decodes the one value that data holds into the variable that into points to.
// Nothing may come after it. The error does not tell the content.
func Decode(data []byte, into any) (err error) {
	if len(data) > MaxSize {
		return ErrTooLarge
	}
	if err := Check(data); err != nil {
		return err
	}
	defer func() {
		// A type of the application's that decodes itself may panic at what it did not
		// expect; that must not end the request that brings the record.
		if p := recover(); p != nil {
			err = errors.New("a type's own decoding panicked")
		}
	}()
	r := bytes.NewReader(data)
	if err := gob.NewDecoder(r).Decode(into); err != nil {
		return fmt.Errorf("%w; does the program register the types with gob.Register, under the names that they had?", err)
	}
	if r.Len() > 0 {
		return errTrailing
	}
	return nil
}
