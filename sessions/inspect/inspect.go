// Package inspect opens one session's record for a person on call: that in a cookie's
// value, or that which a server keeps. Most users won't need it; the command bulla is
// made of it.
package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// Session is an opened record, which holds the session's plain content, or a stub, of
// which only the first and the last fields are set.
type Session struct {
	Kind     string     // "record on a server", "stub on a server", "record in a cookie", "record in a signed cookie" or "copy in a cookie"
	Key      stores.Key // what a server files the session under
	SignedID bool       // the cookie's ID has a MAC, which is not verified

	Retired bool   // sealed under a key or algorithm that is not the first
	Owner   string // the user's ID, or ""
	Label   string

	Created, Deadline, Authenticated time.Time
	Idle                             time.Duration // idle lifetime in force when it was saved; 0: none
	Generation                       uint64        // how often it was saved
	Sealed, Expires                  time.Time     // of what the client holds; may be zero

	Ended   time.Time  // of a stub: when the session ended or got a new ID; may be zero
	MovedTo stores.Key // of a stub: what it is filed under now; zero where it has ended

	values envelope.Values
}

// Values yields the session's encoded values, by name.
func (s *Session) Values() iter.Seq2[string, []byte] { return s.values.All() }

// Open opens what is in a cookie's value or, where rec is not nil, the record that a
// server has for that cookie. A record without its cookie can't be opened: the ID is
// part of the key. Of c it needs Encryptor, Serializer, Audience and Name, as the
// program has them that wrote the record; a store that signs, such as
// cookiestore.Signed, has its own keys.
//
// Open asks no server and no clock, so it opens expired sessions too. It must not
// decide about a login. A stub is plain: nothing proves that it is this session's.
func Open(store stores.Store, c sessions.Config, value string, rec []byte) (Session, error) {
	tok, mac, err := token.Parse(value)
	if err != nil {
		return Session{}, err
	}
	o := opener{store.Place(), record.NewSealer(c.Encryptor, c.Serializer, c.Audience, c.Name), tok}
	s, err := o.open(rec)
	if err != nil {
		return Session{}, err
	}
	s.Key, s.SignedID = tok.ID.Key(), mac != nil
	return s, nil
}

type opener struct {
	place  stores.Place
	sealer *record.Sealer
	tok    token.Token
}

func (o opener) open(rec []byte) (Session, error) {
	if rec != nil {
		if stub, ok := record.ParseStub(rec); ok {
			return Session{Kind: "stub on a server", Ended: stub.At, MovedTo: stub.To}, nil
		}
		return o.openAs("record on a server", record.Server, rec)
	}
	if o.tok.Payload == "" {
		return Session{}, fmt.Errorf("%w: the cookie holds no record; give the store's too, which it has under the key %v", stores.ErrMalformed, o.tok.ID)
	}
	if o.place.Signed {
		data, stale, err := o.place.Cookie.Decode(o.tok.Payload, o.sealer.SignedBinding(o.tok.ID))
		if err != nil {
			return Session{}, err
		}
		s, err := o.openAs("record in a signed cookie", record.Client, data)
		s.Retired = stale
		return s, err
	}
	data, err := payload.Decode(o.tok.Payload)
	if err != nil {
		return Session{}, err
	}
	s, err := o.openAs("record in a cookie", record.Client, data)
	if err == nil {
		return s, nil
	}
	s, copyErr := o.openAs("copy in a cookie", record.Copy, data)
	if copyErr != nil {
		return Session{}, errors.Join(err, copyErr)
	}
	return s, nil
}

func (o opener) openAs(kind string, d record.Domain, data []byte) (Session, error) {
	bound, err := o.sealer.Bind(d, o.tok.ID)
	if err != nil {
		return Session{}, err
	}
	env, retired, err := o.sealer.Open(bound, d, bytes.Clone(data)) // which loses them
	if err != nil {
		return Session{}, err
	}
	w, _ := owners.ParseOwnership(env.Owner)
	return Session{
		Kind: kind, Retired: retired, Owner: w.User, Label: env.Label,
		Created: env.Created, Deadline: env.Deadline, Authenticated: env.Authenticated,
		Idle: env.Idle, Generation: env.Generation, Sealed: env.Sealed, Expires: env.Expires,
		values: env.Values,
	}, nil
}
