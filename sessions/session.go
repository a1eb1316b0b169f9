package sessions

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

const maxNameSize = 255 // bytes of a key's name, as the envelope has it

// Session is one user's session during one request. A Session that you hold is
// loaded. Values are read and written with typed keys, see [Key] and [Flash].
//
// A Session is safe for several goroutines of its request. It must not be used
// after the request. Only [Load], [FromContext] and a [Manager] make one that
// works; a nil or zero Session answers [ErrNotLoaded].
type Session struct {
	m *Manager

	commit sync.Mutex // held during a commit, so that there is one at a time

	mu      sync.Mutex
	held    *held            // what the store has; nil for a new session
	next    stores.ID        // the ID from the next commit on; zero to keep held's
	began   time.Time        // of a new session; zero until it matters
	values  serialize.Values // held.values with the log applied
	log     []logged
	edits   []edit  // of the metadata
	ended   []*held // destroyed in this request; the next commit removes them
	writing bool    // a commit is in the store
	fixed   bool    // the response has begun: the token can't change any more
	refused bool    // a change came too late, and nobody was told but its caller
	gone    bool    // ended elsewhere: nothing is written any more
	dropped error   // the last commit failed, and its changes were dropped
	unsure  error   // the same, but they may have been written
	lives   int     // how often it was destroyed
}

// held is a session as the store has it. It is not changed once a Session has it:
// a commit reads it outside the lock.
type held struct {
	token   stores.Token
	rev     stores.Revision
	expires time.Time // of the record; of a client-held one, as sealed
	meta    serialize.Metadata
	values  serialize.Values
	stale   bool // to be saved again: retired key, or another configuration
	refile  bool // its entry in the list of its owner is under a retired key
	perhaps bool // a commit has perhaps ended it already

	// bound has opened the record, so that a request that reads and writes
	// derives its key once; nil where there was no need. It ends with the
	// request.
	bound encrypt.Bound

	// Of a cookie cache:
	asked  time.Time // when the server was asked for this state
	copied bool      // the client has a copy of this state
	sent   string    // the payload that the client has
}

func (h *held) exists() bool { return h != nil }

// id returns the zero ID of a new session.
func (h *held) id() stores.ID {
	if h == nil {
		return stores.ID{}
	}
	return h.token.ID
}

func (h *held) metadata() serialize.Metadata {
	if h == nil {
		return serialize.Metadata{}
	}
	return h.meta
}

func (h *held) vals() serialize.Values {
	if h == nil {
		return serialize.Values{}
	}
	return h.values
}

// clientHeld tells whether the record is in the client's token: a record on a
// server always has a revision.
func (h *held) clientHeld() bool { return h.rev == "" }

// perhapsEnded returns h as it is after a commit that was to end it and failed.
func (h *held) perhapsEnded() *held {
	unsure := *h
	unsure.perhaps = true
	return &unsure
}

// begin gives a new session the time of its creation. It needs s.mu.
func (s *Session) begin() {
	if s.began.IsZero() {
		s.began = now()
	}
}

// usable tells whether s is a loaded session.
func (s *Session) usable() bool { return s != nil && s.m != nil }

// ID returns the session's identity: after Regenerate, the new one. Printing or
// logging it shows a hash; see [stores.ID].
func (s *Session) ID() stores.ID {
	if !s.usable() {
		return stores.ID{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id()
}

// id needs s.mu.
func (s *Session) id() stores.ID {
	if s.next.IsZero() && s.held.exists() {
		return s.held.token.ID
	}
	if s.next.IsZero() {
		s.next = stores.NewID()
	}
	return s.next
}

// IsNew tells whether no store has the session yet. A new session that stays
// empty is never written.
func (s *Session) IsNew() bool {
	if !s.usable() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.held.exists()
}

// Regenerate gives the session a new ID and keeps its content, its age and its
// deadline. Call it whenever the user's privileges change, at login above all:
// it takes the session away from whoever knew, or planted, the old ID (OWASP
// session management cheat sheet, "Renew the session ID after any privilege
// level change"). The old ID is dead once the response goes out; but of a session
// that only the cookie holds, a copy of the old cookie works until its deadline.
//
// Where the old record was removed from a server and its reply lost, the session can
// end with it: the user must log in again, and what it held is gone.
//
// After the response has begun it fails with [ErrTooLate].
func (s *Session) Regenerate() error {
	if !s.usable() {
		return ErrNotLoaded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed {
		return ErrTooLate
	}
	if s.gone {
		return ErrEnded
	}
	if s.held.exists() || !s.next.IsZero() {
		s.next = stores.NewID()
	}
	return nil
}

// Destroy ends the session, as a logout does: at commit the store's record and
// the client's cookie go. Values that are set afterwards begin a new session
// under a new ID. Where another request changes the session's ID meanwhile, see
// [Manager.Commit].
//
// A session that only the cookie holds can't be ended on a server: whoever kept
// a copy of the cookie can use it until its deadline.
func (s *Session) Destroy() {
	if !s.usable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.exists() && !s.gone {
		s.ended = append(s.ended, s.held)
	}
	s.held = nil
	s.next = stores.ID{}
	s.began = time.Time{}
	s.values, s.log, s.edits = serialize.Values{}, nil, nil
	s.gone, s.dropped, s.unsure = false, nil, nil
	s.lives++
}

// Clear removes every value and, since an empty session has no reason to be
// kept, ends the session as [Session.Destroy] does. A session whose values are
// deleted one by one lives on, so that another request's change is not lost.
func (s *Session) Clear() { s.Destroy() }

// Metadata is what is known about a session beside its values.
type Metadata struct {
	Created    time.Time // when the session began; kept by Regenerate
	Deadline   time.Time // when it ends, whatever happens
	Expires    time.Time // when it ends unless it is used; never after Deadline
	LastSeen   time.Time // last use, known to within the touch interval
	Generation uint64    // how often it was saved

	Authenticated time.Time // as told to Session.Authenticated; zero: never
}

// Metadata returns what is known about the session. Of a new session all but
// Created, Deadline and Expires is zero, unless Authenticated was called.
func (s *Session) Metadata() Metadata {
	if !s.usable() {
		return Metadata{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	authenticated := edited(s.held.metadata(), s.edits).Authenticated
	if !s.held.exists() {
		s.begin()
		deadline := s.m.expiry.deadline(s.began)
		return Metadata{Created: s.began, Deadline: deadline, Expires: s.m.expiry.expires(s.began, deadline), Authenticated: authenticated}
	}
	return Metadata{
		Created:    s.held.meta.Created,
		Deadline:   s.held.meta.Deadline,
		Expires:    s.held.expires,
		LastSeen:   lastSeen(s.held),
		Generation: s.held.meta.Generation,

		Authenticated: authenticated,
	}
}

// Remaining returns how long the session lives from now if it is not used
// again. It is never negative.
func (s *Session) Remaining() time.Duration {
	return max(0, time.Until(s.Metadata().Expires))
}

// String names the session by its key, for logs.
func (s *Session) String() string { return "session " + s.ID().String() }

// Format writes what String returns, whatever the verb, so that no %+v prints
// the values.
func (s *Session) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue gives slog the session's key.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.ID().String()) }

func (s *Session) edit(e edit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(); err != nil {
		return err
	}
	s.edits = append(s.edits, e)
	return nil
}

// metadata returns the metadata with the request's edits.
func (s *Session) metadata() serialize.Metadata {
	if !s.usable() {
		return serialize.Metadata{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return edited(s.held.metadata(), s.edits)
}

func (s *Session) get(name string) (data []byte, ok bool, err error) {
	if !s.usable() {
		return nil, false, ErrNotLoaded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok = s.values.Get(name)
	return data, ok, nil
}

// apply runs op on one value and logs it. op runs outside the lock, so that an
// update function that touches the session against the rule can't lock up the
// request; if the value was changed meanwhile, it runs again.
func (s *Session) apply(name string, op operation) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if name == "" || len(name) > maxNameSize {
		return fmt.Errorf("%w: a key's name has 1 to %d bytes, this one %d", ErrInvalid, maxNameSize, len(name))
	}
	for range 100 {
		s.mu.Lock()
		old, ok := s.values.Get(name)
		s.mu.Unlock()

		data, keep, err := op(old, ok)
		if err != nil {
			return err
		}

		s.mu.Lock()
		now, still := s.values.Get(name)
		if still != ok || !bytes.Equal(now, old) {
			s.mu.Unlock()
			continue
		}
		// What changes nothing is not logged: it must not write the session.
		if keep != ok || keep && !bytes.Equal(data, old) {
			var changed serialize.Values
			if err = s.refuse(); err == nil {
				changed, err = put(s.values, name, data, keep)
			}
			if err == nil {
				s.values, s.log = changed, append(s.log, logged{name, op})
			}
		}
		s.mu.Unlock()
		return err
	}
	return fmt.Errorf("%w: key %q; does its update function set it?", ErrBusy, name)
}
