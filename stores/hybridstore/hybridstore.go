// Package hybridstore keeps small sessions in the cookie and large ones on a
// server, as one [stores.Store].
//
// A session begins in the cookie, which costs no round trip. When its record has
// no room there any more it moves to the server under the same ID, and stays
// there until it ends, however small it becomes: a session that went back and
// forth would leave old copies in both places.
//
// A cookie that is replayed can do exactly what it can do with a cookie-only
// session: until the deadline sealed in it, it shows what it was sealed with,
// also when the session has moved to the server since, and also when it was
// ended there. It can't show, change or delete the session that has moved to the
// server, except by what its requests do there: when one of them outgrows the
// cookie, it meets the record on the server, and its operations are replayed on
// that. Where the session was ended on the server, it meets a mark of that, which
// stays until the deadline, and writes nothing.
package hybridstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Store is a [stores.Store] made of two. It is safe for concurrent use if they
// are; the zero Store is not usable.
type Store struct {
	client, server stores.Store
}

// New returns a store that puts records into the token with client, which is
// cookiestore.Sealed(), while they have room there, and keeps them in server
// otherwise.
func New(client, server stores.Store) (*Store, error) {
	if client == nil || server == nil {
		return nil, errors.New("hybridstore: a store is nil; give cookiestore.Sealed() and a store on a server")
	}
	if _, ok := client.(stores.ClientHolder); !ok {
		return nil, fmt.Errorf("hybridstore: the %s store does not put records into the token; give cookiestore.Sealed() first", stores.Describe(client).Name)
	}
	if _, ok := server.(stores.ClientHolder); ok {
		return nil, fmt.Errorf("hybridstore: the %s store keeps nothing on a server; give a store that does second", stores.Describe(server).Name)
	}
	if stores.Describe(client).Sealing == stores.SealNever {
		return nil, errors.New("hybridstore: records are sealed before their place is known, so a signed cookie has no part in it; give cookiestore.Sealed() first")
	}
	return &Store{client, server}, nil
}

// Describe implements [stores.Describer]. What is in the cookie has no other
// protection than encryption.
func (s *Store) Describe() stores.Info {
	return stores.Info{Name: "hybrid of cookie and " + stores.Describe(s.server).Name, Sealing: stores.SealAlways}
}

// ClientHolds implements [stores.ClientHolder]: a record that is not on the
// server stays in the cookie while it has room. An empty one has none: a token
// has no empty payload.
func (s *Store) ClientHolds(_ stores.Token, rev stores.Revision, size, room int) bool {
	return rev == "" && size > 0 && stores.PayloadChars(size) <= room
}

// Load reads the payload where there is one, and asks the server otherwise.
func (s *Store) Load(ctx context.Context, tok stores.Token) (stores.Record, error) {
	if tok.Payload != "" {
		return s.client.Load(ctx, tok)
	}
	rec, err := s.server.Load(ctx, tok)
	if err == nil && isEnded(rec) {
		return stores.Record{}, fmt.Errorf("%w: it was ended", stores.ErrNotFound)
	}
	return rec, err
}

// Save puts the record where ClientHolds says. A record that leaves the cookie
// and finds the session on the server already, or that it was ended there, is
// [stores.ErrConflict]: another request has moved it there.
func (s *Store) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if s.ClientHolds(tok, rec.Revision, len(rec.Data), rec.Room) {
		return s.client.Save(ctx, tok, rec)
	}
	moves := tok.Payload != "" && rec.Revision == ""
	tok.Payload = ""
	saved, rev, err := s.server.Save(ctx, tok, rec)
	if moves && errors.Is(err, stores.ErrExists) {
		return saved, rev, fmt.Errorf("%w: %w", stores.ErrConflict, err)
	}
	return saved, rev, err
}

// Delete removes the record on the server. A record in a cookie is gone when the
// client's cookie is.
func (s *Store) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	tok.Payload = ""
	return s.server.Delete(ctx, tok, rev)
}

// Touch implements [stores.Toucher] for records on the server. Where the server
// is no Toucher, the record is read and written.
func (s *Store) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	tok.Payload = ""
	if t, ok := s.server.(stores.Toucher); ok {
		return t.Touch(ctx, tok, rev, expires)
	}
	rec, err := s.server.Load(ctx, tok)
	if err != nil {
		return "", err
	}
	if rec.Revision != rev {
		return "", stores.ErrConflict
	}
	if !rec.Expires.Before(expires) {
		return rev, nil
	}
	rec.Expires = expires
	_, rev, err = s.server.Save(ctx, tok, rec)
	return rev, err
}
