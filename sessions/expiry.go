package sessions

import (
	"fmt"
	"time"
)

const (
	// defaultMaxLifetime bounds what nothing else bounds: rolling sessions,
	// and session-only ones, whose end only the browser would know.
	defaultMaxLifetime = 30 * 24 * time.Hour

	// maxLifetime is the longest that browsers keep a cookie (RFC 6265bis,
	// section 5.5).
	maxLifetime = 400 * 24 * time.Hour

	// EveryResponse as a TouchInterval moves the expiry on with every
	// response.
	EveryResponse = time.Nanosecond
)

// expiry is when sessions end. The absolute deadline is sealed into the record;
// the idle deadline is the store's expiry, and for records that the client
// holds it follows from the sealed time of the last save.
type expiry struct {
	lifetime time.Duration // 0: session-only
	idle     time.Duration // lifetime where it rolls, else 0
	max      time.Duration // from creation to deadline
	touch    time.Duration // how much of the idle time may pass before a touch
}

func newExpiry(c Config) (expiry, error) {
	fail := func(format string, args ...any) (expiry, error) {
		return expiry{}, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	e := expiry{lifetime: c.Lifetime, max: c.MaxLifetime, touch: c.TouchInterval}
	switch {
	case c.Lifetime < 0:
		return fail("WithLifetime(%v) is negative; use 0 for a session that ends with the browser", c.Lifetime)
	case c.MaxLifetime < 0:
		return fail("WithMaxLifetime(%v) is negative; leave it out for 30 days", c.MaxLifetime)
	case c.TouchInterval < 0:
		return fail("WithTouchInterval(%v) is negative; use 0 for every response", c.TouchInterval)
	case c.Lifetime > 0 && c.Lifetime < time.Second:
		return fail("WithLifetime(%v) is under a second, the unit of a cookie's Max-Age; use a longer one", c.Lifetime)
	case c.Lifetime > maxLifetime:
		return fail("WithLifetime(%v) is over 400 days, the most that browsers keep a cookie; use a shorter one", c.Lifetime)
	case c.MaxLifetime > maxLifetime:
		return fail("WithMaxLifetime(%v) is over 400 days, the most that browsers keep a cookie; use a shorter one", c.MaxLifetime)
	case c.Rolling && c.Lifetime == 0:
		return fail("WithRolling has nothing to extend; set the idle timeout with WithLifetime")
	case c.TouchInterval > 0 && !c.Rolling:
		return fail("WithTouchInterval needs WithRolling; add it, or leave the interval out")
	case c.MaxLifetime > 0 && c.Lifetime > 0 && !c.Rolling:
		return fail("WithMaxLifetime caps rolling and session-only sessions; a fixed WithLifetime is its own cap, so leave one of them out")
	case c.MaxLifetime > 0 && c.MaxLifetime < c.Lifetime:
		return fail("WithMaxLifetime(%v) is shorter than WithLifetime(%v); lengthen the first or shorten the second", c.MaxLifetime, c.Lifetime)
	case c.TouchInterval >= c.Lifetime && c.TouchInterval > 0:
		return fail("WithTouchInterval(%v) is no shorter than WithLifetime(%v), so sessions in use would expire; shorten it", c.TouchInterval, c.Lifetime)
	}
	if e.max == 0 {
		e.max = max(defaultMaxLifetime, e.lifetime)
	}
	if !c.Rolling {
		if e.lifetime > 0 {
			e.max = e.lifetime
		}
		return e, nil
	}
	// As records keep it: a difference would look like another configuration,
	// and every commit would write.
	e.idle = e.lifetime.Truncate(time.Millisecond)
	if e.touch == 0 {
		e.touch = min(e.lifetime/20, 5*time.Minute)
	}
	return e, nil
}

// deadline returns the absolute end of a session that was created then.
func (e expiry) deadline(created time.Time) time.Time { return created.Add(e.max) }

// expires returns when a session that is used now ends if it is not used again.
func (e expiry) expires(now, deadline time.Time) time.Time {
	if e.idle == 0 {
		return deadline
	}
	return earlier(now.Add(e.idle), deadline)
}

// unused returns how long a session lasts that is not used.
func (e expiry) unused() time.Duration {
	if e.idle > 0 {
		return e.idle
	}
	return e.max
}

// due tells whether the expiry of a session in use must move on.
func (e expiry) due(now, expires, deadline time.Time) bool {
	return e.idle > 0 && e.expires(now, deadline).Sub(expires) >= e.touch
}

// live reports whether a loaded session has not ended, and brings its times in
// line with the configuration: one that is shorter now applies to sessions that
// are out already; one that is longer does not.
func (e expiry) live(h *held, now time.Time) bool {
	if h.meta.Created.IsZero() { // a Layout that does not keep it
		h.meta.Created = now
	}
	if h.meta.Deadline.IsZero() { // the same: the configuration says it
		h.meta.Deadline = e.deadline(h.meta.Created)
	}
	seen := lastSeen(h) // by the times as they were saved
	h.meta.Deadline = earlier(h.meta.Deadline, e.deadline(h.meta.Created))
	if h.expires.IsZero() { // the client holds it
		h.expires = h.meta.Deadline
		if h.meta.Idle > 0 {
			h.expires = earlier(h.meta.Sealed.Add(h.meta.Idle), h.meta.Deadline)
		}
	}
	h.expires = earlier(h.expires, h.meta.Deadline)
	if h.meta.Idle != e.idle {
		h.stale = true // the next save seals the idle time that holds now
	}
	if e.idle > 0 && !seen.IsZero() && seen.Add(e.idle).Before(h.expires) {
		h.expires = seen.Add(e.idle)
		h.meta.Idle = e.idle // so that lastSeen stays what it is
	}
	return now.Before(h.expires)
}

// lastSeen returns when the session was last used, to within the touch
// interval, or zero where nothing tells.
func lastSeen(h *held) time.Time {
	switch {
	case h.meta.Idle == 0: // not rolling: reads leave no trace
		return time.Time{}
	case !h.meta.Sealed.IsZero():
		return h.meta.Sealed
	case h.expires.Before(h.meta.Deadline):
		return h.expires.Add(-h.meta.Idle)
	}
	return time.Time{} // the cap hides it
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
