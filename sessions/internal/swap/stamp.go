package swap

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/sessions/internal/record"
)

// Stamp sets what every save sets in the metadata of base's next state, wherever
// it is kept, and returns when it expires. A session that has ended while it was
// being changed is [ErrEnded].
func Stamp(p expiry.Policy, now time.Time, base *record.State, md *envelope.Metadata) (time.Time, error) {
	md.Generation++
	md.Idle = p.IdleOf(md)
	md.Sealed = time.Time{}
	expires := p.Expires(now, md)
	// A session in use keeps its expiry until the touch interval has passed, so
	// that a cookie with a Max-Age is not sent with every change. Not so where a layout
	// says when the record was last changed: there the end is counted from that.
	if kept := base.Expires; base.Meta.Sealed.IsZero() && !base.ClientHeld() && !base.Stale && !kept.IsZero() && !expires.Before(kept) && !p.Due(now, kept, md) {
		expires = kept
	}
	if !expires.After(now) {
		return time.Time{}, fmt.Errorf("%w: it expired during the request", ErrEnded)
	}
	return expires, nil
}
