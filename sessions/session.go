package sessions

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/oplog"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

const maxNameSize = 255 // bytes of a key's name, as the envelope has it

// ID is a session's identity. Printing, logging or marshalling it gives its key: a
// one-way hash, which stores file the session under and logs show. Compare IDs with
// Equal.
type ID = token.ID

// Session is one user's session during one request. A Session that you hold is
// loaded. Values are read and written with typed keys, see [Key] and [Flash].
//
// A Session is safe for several goroutines of its request. It must not be used
// after the request. Only [Load] and [FromContext] give one that works; a nil or
// zero Session answers [ErrNotLoaded].
type Session struct {
	m *Manager

	commit sync.Mutex // held during a commit, so that there is one at a time

	mu      sync.Mutex
	held    *record.State // what the store has; nil for a new session
	sent    string        // the payload that the client has
	next    token.ID      // the ID from the next commit on; zero to keep held's
	began   time.Time     // of a new session; zero until it matters
	values  envelope.Values
	log     oplog.Log  // what makes values of held's
	drops   uint32     // how often that was discarded
	lives   uint32     // how often it was destroyed
	ended   []ending   // destroyed in this request; the next commit ends them
	moved   *ending    // the session has another ID, and this is the old one's end
	spared  oplog.Edit // without which the session ends with the others, see Manager.RevokeOthers
	dropped error      // the last commit failed, and its changes were dropped
	unsure  error      // a commit failed, and may have been written all the same

	// Side by side: each by itself would take eight bytes of every request's.
	grace   bool // moved a moment ago: no session begins here,
	login   bool // but for that of a login
	fixed   bool // the response has begun: the token can't change any more
	gone    bool // ended elsewhere: nothing is written any more
	writing bool // a commit is in the store
	refused bool // a change came too late, and nobody was told but its caller
	peeks   bool // the request is no use of the session
}

// ending is a session that is to be ended.
type ending struct {
	key    stores.Key
	known  swap.Known
	meta   envelope.Metadata
	here   bool // it is in the client's token, and only there
	listed bool // the list of what has ended has it, whoever's it is
	gone   bool // it was ended elsewhere, or moved: the token may be a newer login's

	held *record.State // nil where it was not loaded
}

func endingOf(st *record.State) ending {
	return ending{
		key:   st.ID.Key(),
		known: swap.Known{Revision: st.Revision, Loaded: st.Asked, Deadline: st.Meta.Last(), Client: st.ClientHeld()},
		meta:  st.Meta,
		here:  st.ClientHeld(),
		held:  st,
	}
}

// usable tells whether s is a loaded session.
func (s *Session) usable() bool { return s != nil && s.m != nil }

// begin gives a new session the time of its creation. It needs s.mu.
func (s *Session) begin() {
	if s.began.IsZero() {
		s.began = now()
	}
}

// ID returns the session's identity: after Regenerate, the new one.
func (s *Session) ID() ID {
	if !s.usable() {
		return ID{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id()
}

// id needs s.mu.
func (s *Session) id() token.ID {
	if s.next.IsZero() && s.held.Exists() {
		return s.held.ID
	}
	if s.next.IsZero() {
		s.next = s.m.newID()
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
	return !s.held.Exists()
}

// Regenerate gives the session a new ID and keeps its content. Call it at login,
// and whenever the user's privileges change: it takes the session away from whoever
// knew, or planted, the old ID (OWASP session management cheat sheet, "Renew the
// session ID after any privilege level change"). The session's absolute lifetime
// starts anew, so that an old visitor's login does not end at once, and so does
// what [Session.Limit] has shortened.
//
// The old ID is dead once the response goes out. After the response has begun
// Regenerate fails with [ErrTooLate].
func (s *Session) Regenerate() error {
	if !s.usable() {
		return ErrNotLoaded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.regenerate()
}

// mayMove tells whether the session can get a new ID. It needs s.mu.
func (s *Session) mayMove() error {
	switch {
	case s.fixed:
		return ErrTooLate
	case s.gone:
		return ErrEnded
	}
	return nil
}

// regenerate needs s.mu.
func (s *Session) regenerate() error {
	if err := s.mayMove(); err != nil {
		return err
	}
	s.login = true
	if !s.held.Exists() && s.next.IsZero() {
		return nil // it has no ID that anybody knows
	}
	s.move()
	if s.held.Exists() {
		began := now()
		deadline := s.m.policy.Deadline(began)
		s.log.Edit(func(md *envelope.Metadata) { md.Created, md.Deadline, md.OwnIdle = began, deadline, 0 })
	}
	return nil
}

// move gives the session a new ID, of which there is no older record. It needs s.mu.
func (s *Session) move() {
	s.next = s.m.newID()
	if s.held.Exists() {
		s.log.Edit(func(md *envelope.Metadata) { md.Latest = time.Time{} })
	}
}

// Destroy ends the session, as a logout does: at commit a stub takes the place of
// the store's record, and the client's cookie goes. Values that are set afterwards
// begin a new session under a new ID.
//
// Where the session has a new ID by another request meanwhile, that ends too; where
// that can't be seen any more, or another user logged in with it, the commit answers
// [ErrEnded].
//
// A session that only the cookie holds can't be ended on a server: whoever kept
// a copy of the cookie can use it until its deadline, unless there is a list of what
// has ended (WithRevocation) and the session has an owner.
func (s *Session) Destroy() {
	if !s.usable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.Exists() {
		e := endingOf(s.held)
		e.gone = s.gone // and perhaps not ended, but moved
		s.ended = append(s.ended, e)
	} else if s.moved != nil {
		s.ended = append(s.ended, *s.moved)
	}
	s.held, s.moved, s.grace = nil, nil, false
	s.discard()
	s.gone, s.dropped, s.unsure, s.spared = false, nil, nil, nil
	s.lives++
}

// Discard drops what the request has changed and not committed: values, a new ID,
// an owner. The session is again as it was last stored. Destroy is not taken back: a
// page that fails after a logout must not undo it. Nor is what [Manager.RevokeOthers]
// has changed, without which the session would end with the others.
//
// It is for a handler that gives up halfway, so that no half of a login is committed
// with its error page; HandlerFunc of package middleware calls it for you. What a
// commit under way in another goroutine is writing counts as committed.
func (s *Session) Discard() {
	if !s.usable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.next
	s.discard()
	if s.writing && !s.held.Exists() {
		s.next = next // the session may be about to have it
	}
	if !s.fixed && !s.writing {
		s.spare()
	}
}

// spare has the session outlive the others of its owner, which have ended: a page that
// fails after that must not end it, too. It needs s.mu.
func (s *Session) spare() {
	if s.spared != nil && s.held.Exists() && !s.gone {
		s.move()
		s.log.Edit(s.spared)
	}
}

// discard drops what is not committed, but for ends. It needs s.mu.
func (s *Session) discard() {
	s.next, s.began, s.login = token.ID{}, time.Time{}, false
	s.values, s.log = s.held.AllValues(), oplog.Log{}
	s.drops++
}

// Names returns the names under which the session has values, sorted, with this
// request's changes.
func (s *Session) Names() []string {
	if !s.usable() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, s.values.Len())
	for name := range s.values.All() {
		names = append(names, name)
	}
	return names
}

// Metadata is what is known about a session beside its values.
type Metadata struct {
	Created    time.Time // when the session began, or its user last logged in
	Deadline   time.Time // when it ends, whatever happens
	Expires    time.Time // when it ends unless it is used; never after Deadline
	LastSeen   time.Time // last use, known to within the touch interval
	Generation uint64    // how often it was saved

	Authenticated time.Time // as told to Session.SetAuthenticated; zero: never
}

// Metadata returns what is known about the session, with this request's changes. Of
// a new session all but Created, Deadline and Expires is zero, unless
// SetAuthenticated was called.
func (s *Session) Metadata() Metadata {
	if !s.usable() {
		return Metadata{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.m.policy
	if !s.held.Exists() {
		s.begin()
		md := s.log.Metadata(envelope.Metadata{Created: s.began, Deadline: p.Deadline(s.began)})
		return Metadata{Created: md.Created, Deadline: md.Deadline, Expires: p.Expires(s.began, &md), Authenticated: md.Authenticated}
	}
	md := s.log.Metadata(s.held.Meta)
	expires := s.held.Expires
	if md.Deadline != s.held.Meta.Deadline || md.OwnIdle != s.held.Meta.OwnIdle {
		expires = p.Expires(now(), &md)
	}
	return Metadata{
		Created:    md.Created,
		Deadline:   md.Deadline,
		Expires:    expires,
		LastSeen:   s.held.LastSeen(),
		Generation: md.Generation,

		Authenticated: md.Authenticated,
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

// edit changes the metadata.
func (s *Session) edit(e oplog.Edit) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if s.m.place.Foreign != nil {
		// The other system would drop it, or carry it on when another user logs in.
		return fmt.Errorf("%w: the %s store, whose sessions another system shares, has no place for what is known of a session beside its values; keep it in a value", ErrInvalid, s.m.place.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(); err != nil {
		return err
	}
	s.log.Edit(e)
	return nil
}

// metadata returns the metadata with the request's edits.
func (s *Session) metadata() envelope.Metadata {
	if !s.usable() {
		return envelope.Metadata{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Metadata(s.held.Metadata())
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
func (s *Session) apply(name string, op oplog.Operation) error {
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
			var changed envelope.Values
			if err = s.refuse(); err == nil {
				changed, err = oplog.Put(s.values, name, data, keep)
			}
			if err == nil {
				s.values = changed
				s.log.Add(name, op)
			}
		}
		s.mu.Unlock()
		return err
	}
	return fmt.Errorf("%w: key %q; does its update function set it?", ErrBusy, name)
}
