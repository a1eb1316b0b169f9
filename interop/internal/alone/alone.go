// Package alone reads the sessions of another system without sharing them, for a
// migration.
package alone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Session is what there is to know of one.
type Session struct {
	Created time.Time // zero where the system does not keep it
	Signed  time.Time // when it was last written; zero where nothing tells
	Values  map[string]json.RawMessage
}

// server is a server of records that another system writes too.
type server interface {
	stores.Server
	IsEnd(data []byte) bool
	Retire(ctx context.Context, key stores.Key, d time.Duration) error
}

// Reader reads. It is safe for concurrent use.
type Reader struct {
	place    stores.Place
	server   server // nil where the cookie has the session
	lifetime time.Duration
	notAfter time.Time
}

// New returns a reader of what lies in place. lifetime is counted from a session's
// beginning, 0 for none; what was written or began after notAfter, where it is not zero,
// is no session. A server that is not of a driver's type Shared is an error: a record that
// can't be retired would be a login for as long as the other system keeps it.
func New(place stores.Place, lifetime time.Duration, notAfter time.Time) (*Reader, error) {
	r := &Reader{place: place, lifetime: lifetime, notAfter: notAfter}
	if place.Cookie != nil {
		return r, nil
	}
	var ok bool
	if r.server, ok = place.Server.(server); !ok {
		return nil, fmt.Errorf("%w: records on the %s server can't be retired; its type needs a method Retire, as redisstore.Shared has it", sessions.ErrConfig, place.Name)
	}
	return r, nil
}

// Read returns the session that a cookie's value names, or an error that wraps
// migrate.ErrNone.
func (r *Reader) Read(ctx context.Context, value string) (Session, error) {
	data, err := r.load(ctx, value)
	if err != nil {
		return Session{}, err
	}
	env, err := r.place.Foreign.Layout.(envelope.Layout).Split(data)
	if err != nil {
		return Session{}, fmt.Errorf("the record does not open: %w", err)
	}
	now := time.Now()
	over := func(since time.Time, life time.Duration) bool {
		return life > 0 && !since.IsZero() && !now.Before(since.Add(life))
	}
	switch {
	case over(env.Sealed, env.Idle), over(env.Created, r.lifetime), !env.Deadline.IsZero() && !now.Before(env.Deadline):
		return Session{}, fmt.Errorf("%w: it has expired", migrate.ErrNone)
	case !r.notAfter.IsZero() && (env.Sealed.After(r.notAfter) || env.Created.After(r.notAfter)):
		return Session{}, fmt.Errorf("%w: it was written after the switch", migrate.ErrNone)
	}
	s := Session{Created: env.Created, Signed: env.Sealed, Values: make(map[string]json.RawMessage, env.Values.Len())}
	for name, data := range env.Values.All() {
		s.Values[name] = data
	}
	return s, nil
}

func (r *Reader) load(ctx context.Context, value string) ([]byte, error) {
	if r.place.Cookie != nil {
		data, _, err := r.place.Cookie.Decode(value, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", migrate.ErrNone, err)
		}
		return data, nil
	}
	if !r.place.Foreign.ID(value) {
		return nil, fmt.Errorf("%w: not an ID", migrate.ErrNone)
	}
	rec, err := r.server.Load(ctx, stores.ForeignKey(value), stores.Fresh)
	if errors.Is(err, stores.ErrNotFound) || err == nil && r.server.IsEnd(rec.Data) {
		return nil, fmt.Errorf("%w: it is not there", migrate.ErrNone)
	}
	return rec.Data, err
}

// Retire shortens the life of the record that a cookie's value names, if there is one.
// In a cookie there is none.
func (r *Reader) Retire(ctx context.Context, value string) error {
	if r.server == nil || !r.place.Foreign.ID(value) {
		return nil
	}
	return r.server.Retire(ctx, stores.ForeignKey(value), migrate.Grace)
}
