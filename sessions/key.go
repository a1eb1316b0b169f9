package sessions

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/bulla-go/bulla/serialize"
)

// Key names a value of type T in a session. Declare keys as constants:
//
//	const visits = sessions.Key[int]("visits")
//
// A name that is known only at run time is Key[T](name). Names have 1 to 255
// bytes; to write under another is [ErrInvalid]. Those that begin with "bulla." are
// Bulla's own. All methods are safe for concurrent
// use on one Session, and return [ErrNotLoaded] for a nil Session.
type Key[T any] string

// Get returns a fresh copy of the value. Where there is none the error is
// [ErrNoValue]; where the stored value is not a T, it is [ErrDecode] and names
// the key and the type, never the content.
func (k Key[T]) Get(s *Session) (T, error) {
	v, _, err := k.get(s)
	return v, err
}

// GetOr returns the value, or def where there is none. It still fails where
// there is a value that is not a T: a default in its place would hide the loss.
func (k Key[T]) GetOr(s *Session, def T) (T, error) {
	data, ok, err := s.get(string(k))
	if err != nil || !ok {
		return def, err
	}
	var v T
	err = k.decode(s, data, &v)
	return v, err
}

// get returns the value and its bytes.
func (k Key[T]) get(s *Session) (v T, data []byte, err error) {
	data, ok, err := s.get(string(k))
	if err == nil && !ok {
		err = fmt.Errorf("%w under key %q", ErrNoValue, string(k))
	}
	if err == nil {
		err = k.decode(s, data, &v)
	}
	return v, data, err
}

// Set stores v. A value that does not encode is [ErrEncode] and leaves the
// session as it was. So does [ErrTooLate], in all methods that change a value: the
// response has begun, and the change would need a new token, as every change does
// of a session that is new or that the cookie holds.
func (k Key[T]) Set(s *Session, v T) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	data, err := k.encode(s, &v)
	if err != nil {
		return err
	}
	return s.apply(string(k), func([]byte, bool) ([]byte, bool, error) { return data, true, nil })
}

// Update replaces the value by what f makes of it (of the zero T where there is
// none) and returns the new value.
//
// It is how counters are kept: when another request changed the session first,
// f runs again on the newer value at commit, so no increment is lost. Therefore
// f may run more than once, sees only its own key, and must not touch the
// session. The returned value is provisional until the commit: a limit on
// attempts must call [Commit] before it lets the attempt through.
func (k Key[T]) Update(s *Session, f func(T) T) (T, error) {
	var zero T
	if !s.usable() {
		return zero, ErrNotLoaded
	}
	// Atomic, since another goroutine's commit may run the operation again as
	// soon as it is logged.
	var last atomic.Pointer[T]
	err := s.apply(string(k), func(old []byte, ok bool) ([]byte, bool, error) {
		v := new(T)
		if ok {
			if err := k.decode(s, old, v); err != nil {
				return nil, false, err
			}
		}
		*v = f(*v)
		data, err := k.encode(s, v)
		last.Store(v)
		return data, true, err
	})
	if err != nil {
		return zero, err
	}
	return *last.Load(), nil
}

// Pop returns the value and removes it. It removes only what it returned: where
// another request has set a newer value meanwhile, that one stays. Two requests
// that pop at the same time may both get the value: what must be used once only,
// such as a one-time code, needs [Key.Update] and [Commit].
func (k Key[T]) Pop(s *Session) (T, error) {
	v, seen, err := k.get(s)
	if err != nil {
		return v, err
	}
	return v, s.apply(string(k), func(old []byte, ok bool) ([]byte, bool, error) {
		return old, ok && !bytes.Equal(old, seen), nil
	})
}

// PopOr is Pop with def where there is no value. As [Key.GetOr] does, it fails where
// there is one that is not a T.
func (k Key[T]) PopOr(s *Session, def T) (T, error) {
	v, err := k.Pop(s)
	if errors.Is(err, ErrNoValue) {
		return def, nil
	}
	return v, err
}

// Delete removes the value, whatever its type. Removing what is not there is no error
// and no change.
func (k Key[T]) Delete(s *Session) error {
	return s.apply(string(k), func([]byte, bool) ([]byte, bool, error) { return nil, false, nil })
}

// decode reads data into v, which stays zero where that fails.
func (k Key[T]) decode(s *Session, data []byte, v *T) error {
	if err := s.m.serializer.Unmarshal(data, v); err != nil {
		*v = *new(T)
		return k.fault(ErrDecode, err)
	}
	return nil
}

func (k Key[T]) encode(s *Session, v *T) ([]byte, error) {
	data, err := s.m.serializer.Marshal(v)
	if err != nil {
		return nil, k.fault(ErrEncode, err)
	}
	return data, nil
}

// fault names the key, the type, and of the serializer's error what may be shown.
func (k Key[T]) fault(sentinel, err error) error {
	return fmt.Errorf("%w: key %q, type %v: %s", sentinel, string(k), reflect.TypeFor[T](), serialize.Explain(err))
}
