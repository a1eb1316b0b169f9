package scs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/internal/gobs"
	"github.com/bulla-go/bulla/interop/migrate"
)

// Session is what scs keeps of a session.
type Session struct {
	Deadline time.Time      // its absolute end
	Values   map[string]any // what the application has put there; by RememberMe, "__rememberMe"
}

// Reader reads the sessions of one store. It is safe for concurrent use; the zero Reader
// is not usable.
type Reader struct {
	options
	store store
}

// store is where records are.
type store interface {
	read(ctx context.Context, id string) ([]byte, error)
	retire(ctx context.Context, id string) error
}

// Read returns the session whose token is a cookie's value. One that is not there, has
// expired, or is not named by a token of scs's, is an error that wraps migrate.ErrNone. A
// record that does not decode is another: the program may lack a type.
func (r *Reader) Read(ctx context.Context, value string) (Session, error) {
	id, ok := r.id(value)
	if !ok {
		return Session{}, fmt.Errorf("%w: not a token of scs's", migrate.ErrNone)
	}
	data, err := r.store.read(ctx, id)
	if err != nil {
		return Session{}, err
	}
	s, err := r.decode(data)
	if err != nil {
		return Session{}, fmt.Errorf("scs: the record does not decode: %w", err)
	}
	if !time.Now().Before(s.Deadline) {
		return Session{}, fmt.Errorf("%w: it has expired", migrate.ErrNone)
	}
	return s, nil
}

// Retire gives the record of the session whose token is a cookie's value a minute to
// live, if it has longer.
func (r *Reader) Retire(ctx context.Context, value string) error {
	id, ok := r.id(value)
	if !ok {
		return nil
	}
	return r.store.retire(ctx, id)
}

// id returns what the store files a token under. A token is 32 bytes, in one spelling.
func (r *Reader) id(token string) (string, bool) {
	if len(token) != 43 {
		return "", false
	}
	// The decoder passes over line ends, so that fewer bytes may come out.
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(token); err != nil || len(raw) != 32 {
		return "", false
	}
	if !r.hashed {
		return token, true
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:]), true
}

// decodeGob is the codec that scs has by default.
func decodeGob(data []byte) (time.Time, map[string]any, error) {
	// The map is there before it is decoded, so that there is one where scs wrote none.
	record := struct {
		Deadline time.Time
		Values   map[string]any
	}{Values: make(map[string]any)}
	err := gobs.Decode(data, &record)
	return record.Deadline, record.Values, err
}

func (r *Reader) decode(data []byte) (s Session, err error) {
	if len(data) > gobs.MaxSize {
		return s, gobs.ErrTooLarge
	}
	if r.codec != nil {
		s.Deadline, s.Values, err = r.codec.Decode(data)
	} else {
		s.Deadline, s.Values, err = decodeGob(data)
	}
	if err == nil && s.Deadline.IsZero() {
		err = errors.New("it has no deadline")
	}
	return s, err
}
