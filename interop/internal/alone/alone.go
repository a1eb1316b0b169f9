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

// Reader reads.
type Reader struct {
	Place    stores.Place  // its Server, if it has one, is of a driver's type Shared
	Lifetime time.Duration // counted from the beginning; 0: none
	NotAfter time.Time     // what was written later is no session; zero: any time
}

// Read returns the session that a cookie's value names, or an error that wraps
// migrate.ErrNone.
func (r Reader) Read(ctx context.Context, value string) (Session, error) {
	data, err := r.load(ctx, value)
	if err != nil {
		return Session{}, err
	}
	env, err := r.Place.Foreign.Layout.(envelope.Layout).Split(data)
	if err != nil {
		return Session{}, fmt.Errorf("the record does not open: %w", err)
	}
	now := time.Now()
	over := func(since time.Time, life time.Duration) bool {
		return life > 0 && !since.IsZero() && !now.Before(since.Add(life))
	}
	switch {
	case over(env.Sealed, env.Idle), over(env.Created, r.Lifetime), !env.Deadline.IsZero() && !now.Before(env.Deadline):
		return Session{}, fmt.Errorf("%w: it has expired", migrate.ErrNone)
	case !r.NotAfter.IsZero() && env.Sealed.After(r.NotAfter):
		return Session{}, fmt.Errorf("%w: it was written after the move", migrate.ErrNone)
	}
	s := Session{Created: env.Created, Signed: env.Sealed, Values: make(map[string]json.RawMessage, env.Values.Len())}
	for name, data := range env.Values.All() {
		s.Values[name] = data
	}
	return s, nil
}

func (r Reader) load(ctx context.Context, value string) ([]byte, error) {
	if r.Place.Cookie != nil {
		data, _, err := r.Place.Cookie.Decode(value, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", migrate.ErrNone, err)
		}
		return data, nil
	}
	if !r.Place.Foreign.ID(value) {
		return nil, fmt.Errorf("%w: not an ID", migrate.ErrNone)
	}
	rec, err := r.Place.Server.Load(ctx, stores.ForeignKey(value), stores.Fresh)
	if errors.Is(err, stores.ErrNotFound) || err == nil && r.Place.Server.(server).IsEnd(rec.Data) {
		return nil, fmt.Errorf("%w: it is not there", migrate.ErrNone)
	}
	return rec.Data, err
}

// Retire shortens the life of the record that a cookie's value names, if there is one.
func (r Reader) Retire(ctx context.Context, value string) error {
	shared, ok := r.Place.Server.(server)
	if !ok || !r.Place.Foreign.ID(value) {
		return nil
	}
	return shared.Retire(ctx, stores.ForeignKey(value), migrate.Grace)
}
