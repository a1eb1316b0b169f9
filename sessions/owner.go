package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/serialize"
)

// maxLabelSize bounds what a list of sessions must read.
const maxLabelSize = 255

// SetOwner makes the session userID's, so that it is listed by
// [Manager.Sessions] and ended by [Manager.RevokeAll], and gives it a new ID, as
// [Session.Regenerate] does. Call it at login. It asks the store for the owner's
// epoch: a login that is under way while all the user's sessions are ended does
// not survive that. Call it before the login's values are set, and set none where
// it fails: what the session holds when the response begins is committed.
//
// A session that was another user's forgets what that one proved ([Session.Authenticated])
// and its label: call Authenticated and SetLabel afterwards.
//
// The userID is sealed into the record; the index knows only a keyed hash of it. An
// empty one is [ErrInvalid].
func (s *Session) SetOwner(ctx context.Context, userID string) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	o := s.m.owners
	if o == nil {
		return fmt.Errorf("%w: SetOwner needs WithOwners", ErrConfig)
	}
	if userID == "" {
		return fmt.Errorf("%w: SetOwner needs a user's ID; use Destroy for a logout", ErrInvalid)
	}
	w, err := o.current(ctx, userID)
	if err != nil {
		return err
	}
	if err := s.Regenerate(); err != nil {
		return err
	}
	return s.edit(func(meta *serialize.Metadata) {
		if before, ok := parseOwnership(meta.Owner); ok && before.user != userID {
			meta.Authenticated, meta.Label = time.Time{}, ""
		}
		meta.Owner = w.String()
	})
}

// Owner returns the ID of the session's owner, or "".
func (s *Session) Owner() string {
	w, _ := parseOwnership(s.metadata().Owner)
	return w.user
}

// SetLabel sets what the list of the owner's sessions shows for this one, such
// as the browser's name; more than 255 bytes are [ErrInvalid]. A list is read
// without the sessions' IDs, so a label, unlike a record, opens with a dump of the
// store and the encryption key.
func (s *Session) SetLabel(label string) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if len(label) > maxLabelSize {
		return fmt.Errorf("%w: a label has %d bytes at most, this one %d", ErrInvalid, maxLabelSize, len(label))
	}
	if s.metadata().Label == label {
		return nil
	}
	return s.edit(func(meta *serialize.Metadata) { meta.Label = label })
}

// Authenticated notes that the user proved who they are at that time: with a
// password, a second factor, a key. A time in the future, which would count as
// fresh until it has passed, and one before 1970 are [ErrInvalid].
func (s *Session) Authenticated(at time.Time) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if at.After(time.Now()) || at.Unix() < 0 {
		return fmt.Errorf("%w: the time of an authentication is past, and after 1970", ErrInvalid)
	}
	at = at.Truncate(time.Millisecond).UTC()
	return s.edit(func(meta *serialize.Metadata) { meta.Authenticated = at })
}

// AuthenticatedWithin tells whether the user proved who they are no longer ago
// than d: the check before a step that needs a fresh proof.
func (s *Session) AuthenticatedWithin(d time.Duration) bool {
	at := s.metadata().Authenticated
	return !at.IsZero() && time.Since(at) <= d
}
