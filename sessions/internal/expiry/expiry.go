// Package expiry knows when sessions end. It looks at no clock: every function
// is given the time.
package expiry

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
)

const (
	// DefaultLifetime is how long a session lives unless something shorter is
	// configured.
	DefaultLifetime = 30 * 24 * time.Hour

	// MaxLifetime is the longest that browsers keep a cookie (RFC 6265bis,
	// section 5.5).
	MaxLifetime = 400 * 24 * time.Hour
)

// Policy is the configured part. Lifetime is the absolute end, counted from the
// session's beginning or its last login; Idle, where it is not 0, ends a session
// that was not used for so long.
//
// The absolute deadline is sealed into the record and enforced on every load. The
// idle deadline is the store's expiry and, for what the client holds, follows from
// the sealed time of the last save.
type Policy struct {
	Lifetime time.Duration
	Idle     time.Duration
	touch    time.Duration // how much of the idle time may pass before a touch; 0: a twentieth
}

// New returns the policy of a configuration. Zero values are the defaults: 30
// days, no idle time, and a touch interval of a twentieth of the idle time, five
// minutes at most.
func New(lifetime, idle, touch time.Duration) (Policy, error) {
	fail := func(format string, args ...any) (Policy, error) { return Policy{}, fmt.Errorf(format, args...) }
	switch {
	case lifetime < 0 || lifetime > 0 && lifetime < time.Second:
		return fail("WithLifetime(%v) is under a second, the unit of a cookie's Max-Age; use a longer one, or leave it out for 30 days", lifetime)
	case lifetime > MaxLifetime:
		return fail("WithLifetime(%v) is over 400 days, the most that browsers keep a cookie; use a shorter one", lifetime)
	case idle < 0 || idle > 0 && idle < time.Second:
		return fail("WithRolling(%v) is under a second; use a longer idle time, or leave it out for none", idle)
	case touch < 0:
		return fail("WithTouchInterval(%v) is negative; use 0 for every response", touch)
	case touch > 0 && idle == 0:
		return fail("WithTouchInterval needs WithRolling; add it, or leave the interval out")
	case touch > 0 && touch >= idle:
		return fail("WithTouchInterval(%v) is no shorter than WithRolling(%v), so sessions in use would expire; shorten it", touch, idle)
	}
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	if idle > lifetime {
		return fail("WithRolling(%v) is longer than WithLifetime(%v), the absolute end; lengthen the lifetime or shorten the idle time", idle, lifetime)
	}
	// As records keep it: a difference would look like another configuration,
	// and every commit would write.
	return Policy{Lifetime: lifetime.Truncate(time.Millisecond), Idle: idle.Truncate(time.Millisecond), touch: touch}, nil
}

// IdleOf returns the idle time that holds for a session: the configured one, or
// its own where that is shorter.
func (p Policy) IdleOf(md *envelope.Metadata) time.Duration {
	if p.Idle == 0 || md.OwnIdle > 0 && md.OwnIdle < p.Idle {
		return md.OwnIdle
	}
	return p.Idle
}

// Deadline returns the absolute end of a session that began or logged in then.
func (p Policy) Deadline(began time.Time) time.Time { return began.Add(p.Lifetime) }

// Expires returns when a session that is used now ends if it is not used again.
func (p Policy) Expires(now time.Time, md *envelope.Metadata) time.Time {
	idle := p.IdleOf(md)
	if idle == 0 {
		return md.Deadline
	}
	return Earlier(now.Add(idle), md.Deadline)
}

// Due tells whether the expiry of a session in use must move on.
func (p Policy) Due(now, expires time.Time, md *envelope.Metadata) bool {
	idle := p.IdleOf(md)
	if idle == 0 {
		return false
	}
	touch := p.touch
	if touch == 0 {
		touch = min(idle/20, 5*time.Minute)
	}
	return p.Expires(now, md).Sub(expires) >= touch
}

// Live tells whether a session that was loaded has not ended, and returns when it
// does if it is not used. stored is the expiry that the store has, zero for what
// the client holds. It brings md in line with the policy: one that is shorter now
// applies to sessions that are out already; one that is longer does not. changed
// tells that the next save must seal the idle time that holds now.
func (p Policy) Live(now, stored time.Time, md *envelope.Metadata) (expires time.Time, changed, live bool) {
	if md.Created.IsZero() { // a layout that keeps no times
		md.Created = now
	}
	if md.Deadline.IsZero() {
		md.Deadline = p.Deadline(md.Created)
	}
	expires = stored
	seen := LastSeen(expires, md) // by the times as they were saved
	md.Deadline = Earlier(md.Deadline, p.Deadline(md.Created))
	if expires.IsZero() { // the client holds it
		expires = md.Deadline
		if md.Idle > 0 {
			expires = Earlier(md.Sealed.Add(md.Idle), md.Deadline)
		}
	}
	expires = Earlier(expires, md.Deadline)
	idle := p.IdleOf(md)
	changed = md.Idle != idle
	if idle > 0 && !seen.IsZero() && seen.Add(idle).Before(expires) {
		expires = seen.Add(idle)
		md.Idle = idle // so that LastSeen stays what it is
	}
	return expires, changed, now.Before(expires)
}

// LastSeen returns when the session was last used, to within the touch interval,
// or zero where nothing tells.
func LastSeen(expires time.Time, md *envelope.Metadata) time.Time {
	switch {
	case md.Idle == 0: // not rolling: reads leave no trace
		return time.Time{}
	case !md.Sealed.IsZero():
		return md.Sealed
	case expires.Before(md.Deadline):
		return expires.Add(-md.Idle)
	}
	return time.Time{} // the deadline hides it
}

// Earlier returns the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
