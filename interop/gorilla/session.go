package gorilla

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/internal/gobs"
	"github.com/bulla-go/bulla/interop/migrate"
)

// Session is what gorilla/sessions keeps of a session.
type Session struct {
	Values map[any]any // sessions.Session.Values

	// SignedAt is when the cookie was last set, to the second; zero where it is not
	// signed.
	SignedAt time.Time
}

// Reader reads the sessions of one store. It is safe for concurrent use; the zero Reader
// is not usable.
type Reader struct {
	opener *opener // nil where cookies are not signed
	store  store   // nil where sessions are in the cookie
	isID   func(string) bool
	decode func([]byte) (map[any]any, error)
}

// store is where records are.
type store interface {
	read(ctx context.Context, id string) ([]byte, error)
	retire(ctx context.Context, id string) error
}

// Read returns the session of a cookie's value. Where the value does not verify, or is
// too old, or names no record, the error wraps migrate.ErrNone. A session that does not
// decode is another: the program may lack a type.
func (r *Reader) Read(ctx context.Context, value string) (s Session, err error) {
	data, at, err := r.open(value)
	if err != nil {
		return s, err
	}
	if r.store != nil {
		id, err := r.id(data)
		if err != nil {
			return s, err
		}
		if data, err = r.store.read(ctx, id); err != nil {
			return s, err
		}
	}
	if s.Values, err = r.decode(data); err != nil {
		return Session{}, fmt.Errorf("gorilla: the session does not decode: %w", err)
	}
	s.SignedAt = at
	return s, nil
}

// Retire gives the record of a cookie's value a minute to live, if it has longer. A
// session that is in its cookie has no record: leave [migrate.Source.Retire] out there.
func (r *Reader) Retire(ctx context.Context, value string) error {
	if r.store == nil {
		return nil
	}
	data, _, err := r.open(value)
	if err != nil {
		return nil // it names nothing
	}
	id, err := r.id(data)
	if errors.Is(err, migrate.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.store.retire(ctx, id)
}

// open returns what a cookie's value holds.
func (r *Reader) open(value string) ([]byte, time.Time, error) {
	if r.opener == nil {
		return []byte(value), time.Time{}, nil
	}
	return r.opener.open(value)
}

// id returns the ID that a cookie holds.
func (r *Reader) id(data []byte) (id string, err error) {
	id = string(data)
	if r.opener != nil { // as a gob: a CookieStore's codecs encode everything so
		if err := gobs.Decode(data, &id); err != nil {
			return "", fmt.Errorf("gorilla: the cookie verifies, and is not an ID: is it that of a CookieStore? %w", err)
		}
	}
	if !r.isID(id) {
		return "", fmt.Errorf("%w: not an ID of this store's", migrate.ErrNone)
	}
	return id, nil
}

// base32Text tells whether s is base32 without padding of n bytes: what gorilla's stores
// make IDs of, and nothing that could lead out of a folder.
func base32Text(n int) func(string) bool {
	return func(s string) bool {
		for i := range len(s) {
			if c := s[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
				return false
			}
		}
		return len(s) == (n*8+4)/5
	}
}

func decodeGob(data []byte) (map[any]any, error) {
	values := make(map[any]any) // so that no count in data makes one
	return values, gobs.Decode(data, &values)
}

func decodeJSON(data []byte) (map[any]any, error) {
	if len(data) > gobs.MaxSize {
		return nil, gobs.ErrTooLarge
	}
	var named map[string]any
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, errors.New("it is not a JSON object") // its text shows what stands there
	}
	values := make(map[any]any, len(named))
	for name, v := range named {
		values[name] = v
	}
	return values, nil
}
