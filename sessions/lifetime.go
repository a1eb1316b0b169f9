package sessions

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
)

// SetPersistent says whether the browser keeps this session's cookie when it is
// closed ("remember me"), in place of what WithPersistentCookie says for all. It
// changes nothing of how long the session lives on the server.
func (s *Session) SetPersistent(persistent bool) error {
	p := envelope.Forget
	if persistent {
		p = envelope.Persist
	}
	return s.edit(func(md *envelope.Metadata) { md.Persistent = p })
}

// Limit shortens this session's times: it ends at the latest lifetime from now and,
// where idle is not 0, when it was not used for that long. What is longer than
// configured, or under a second, is [ErrInvalid]; 0 leaves the one or the other as
// it is. The next login ends it: call Limit after [Session.Regenerate] or
// [Session.SetOwner].
func (s *Session) Limit(lifetime, idle time.Duration) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	p := s.m.policy
	switch {
	case lifetime != 0 && lifetime < time.Second || idle != 0 && idle < time.Second:
		return fmt.Errorf("%w: a session's own times are a second or longer", ErrInvalid)
	case lifetime > p.Lifetime:
		return fmt.Errorf("%w: a session's own lifetime of %v is longer than WithLifetime(%v)", ErrInvalid, lifetime, p.Lifetime)
	case idle > p.Lifetime || p.Idle > 0 && idle > p.Idle:
		return fmt.Errorf("%w: a session's own idle time of %v is longer than configured", ErrInvalid, idle)
	}
	end := now().Add(lifetime)
	older := s.olderRecord()
	return s.edit(func(md *envelope.Metadata) {
		if lifetime > 0 {
			shorten(md, end, older)
		}
		if idle > 0 {
			md.OwnIdle = idle.Truncate(time.Millisecond)
		}
	})
}

// olderRecord tells whether the client may hold a record that does not know of a change
// to come.
func (s *Session) olderRecord() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.place.Cookie != nil && s.held.Exists() && s.next.IsZero()
}

// shorten lets a session end no later than end. Where a client may hold an older record,
// what stands for its end must last as long as that.
func shorten(md *envelope.Metadata, end time.Time, older bool) {
	if !end.Before(md.Deadline) {
		return
	}
	if older && md.Latest.IsZero() {
		md.Latest = md.Deadline
	}
	md.Deadline = end
}

// BeganAt says that the session began before it came here: elsewhere, from where the
// application has moved it. Its absolute end is counted from then, so that moving a
// session does not renew it. A login of a session that is stored starts it anew: call
// BeganAt after [Session.Regenerate] or [Session.SetOwner]. A time after the session's
// beginning changes nothing, since machines' clocks differ.
//
// A session that began so long ago that its lifetime is over is [ErrEnded], and is as
// it was: discard it, and take the user for nobody. A time before 1970 is [ErrInvalid].
func (s *Session) BeganAt(t time.Time) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if t.Unix() < 0 {
		return fmt.Errorf("%w: the time at which a session began is after 1970", ErrInvalid)
	}
	t = t.Truncate(time.Millisecond).UTC()
	end := s.m.policy.Deadline(t)
	if !end.After(now()) {
		return fmt.Errorf("%w: it began so long ago that WithLifetime(%v) is over", ErrEnded, s.m.policy.Lifetime)
	}
	older := s.olderRecord()
	return s.edit(func(md *envelope.Metadata) {
		if t.Before(md.Created) {
			md.Created = t
			shorten(md, end, older)
		}
	})
}

// SetAuthenticated notes that the user proved who they are at that time: with a
// password, a second factor, a key. A time in the future, which would count as
// fresh until it has passed, and one before 1970 are [ErrInvalid].
func (s *Session) SetAuthenticated(at time.Time) error {
	if at.After(time.Now()) || at.Unix() < 0 {
		return fmt.Errorf("%w: the time of an authentication is past, and after 1970", ErrInvalid)
	}
	at = at.Truncate(time.Millisecond).UTC()
	return s.edit(func(md *envelope.Metadata) { md.Authenticated = at })
}

// AuthenticatedWithin tells whether the user proved who they are no longer ago
// than d: the check before a step that needs a fresh proof.
func (s *Session) AuthenticatedWithin(d time.Duration) bool {
	at := s.metadata().Authenticated
	return !at.IsZero() && time.Since(at) <= d
}
