package starsessions

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/internal/alone"
)

// Session is what a [Reader] reads.
type Session struct {
	// Created is when the session began; zero where Python has not said so.
	Created time.Time

	// Values are the JSON of what Python has in the session, as it was written: what
	// encoding/json can't hold is there too.
	Values map[string]json.RawMessage
}

// Reader reads sessions without sharing them, for package migrate, whose Source takes
// Read and Retire. It is safe for concurrent use; make one with [NewReader].
type Reader struct{ r *alone.Reader }

// NewReader returns a reader of sessions that are configured as for [New]. notAfter, where
// it is not zero, is when the Python side was switched off: what was signed in a cookie, or
// began, after that is no session.
func NewReader(store *Store, c Config, notAfter time.Time) (*Reader, error) {
	p, _, err := newPlace(store, c)
	if err != nil {
		return nil, err
	}
	var lifetime time.Duration
	if !c.Rolling {
		lifetime = c.Lifetime
	}
	r, err := alone.New(p.Place(), lifetime, notAfter)
	if err != nil {
		return nil, fmt.Errorf("starsessions: %w", err)
	}
	return &Reader{r}, nil
}

// Read returns the session that a cookie's value names. One that is not there, has
// expired, or is not named by such a value, is an error that wraps migrate.ErrNone.
func (r *Reader) Read(ctx context.Context, value string) (Session, error) {
	s, err := r.r.Read(ctx, value)
	if err != nil {
		return Session{}, fmt.Errorf("starsessions: %w", err)
	}
	return Session{s.Created, s.Values}, nil
}

// Retire gives the record that a cookie's value names a minute to live, if it has longer.
// In a cookie there is none, and it does nothing.
func (r *Reader) Retire(ctx context.Context, value string) error { return r.r.Retire(ctx, value) }
