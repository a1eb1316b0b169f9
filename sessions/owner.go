package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/stores"
)

// maxLabelSize bounds what a list of sessions must read.
const maxLabelSize = 255

// SetOwner makes the session userID's, so that it is listed by
// [Manager.Sessions] and ended by [Manager.RevokeAll], and gives it a new ID, as
// [Session.Regenerate] does. Call it at login. It asks the store for the owner's
// epoch: a login that is under way while all the user's sessions are ended does
// not survive that. What was another owner's is forgotten: the label, the time of
// the authentication, and what [Session.SetPersistent] was told before. Call it before the login's values are set, and set
// none where it fails: what the session holds when the response begins is committed.
//
// The userID is sealed into the record; the index knows only a keyed hash of it.
func (s *Session) SetOwner(ctx context.Context, userID string) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if s.m.owners == nil && !s.m.revocation.listsOwners() {
		return fmt.Errorf("%w: SetOwner needs WithOwners", ErrConfig)
	}
	if userID == "" {
		return fmt.Errorf("%w: SetOwner needs a user's ID; use Destroy for a logout", ErrInvalid)
	}
	w, epochs, err := s.m.beginOwned(ctx, s, userID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.regenerate(); err != nil {
		return err
	}
	s.log.Edit(func(md *envelope.Metadata) {
		if old, ok := owners.ParseOwnership(md.Owner); ok && old.User != userID {
			md.Authenticated, md.Label, md.Persistent = time.Time{}, "", 0
		}
		md.Owner = w.String()
		if epochs != nil {
			md.Epochs = epochs
		}
	})
	return nil
}

// beginOwned returns what the record of a session says that becomes userID's.
func (m *Manager) beginOwned(ctx context.Context, s *Session, userID string) (w owners.Ownership, epochs []byte, err error) {
	if m.revocation != nil {
		s.mu.Lock()
		held := s.held
		s.mu.Unlock()
		user := userID
		if !m.revocation.listsOwners() {
			user = "" // the store's index has them
		}
		if epochs, err = m.beginListed(ctx, held, user); err != nil {
			return w, nil, err
		}
	}
	if m.owners == nil {
		return owners.Unlisted(userID, m.revocation.filed), epochs, nil
	}
	w, err = m.owners.Begin(ctx, userID)
	return w, epochs, err
}

// Owner returns the ID of the session's owner, or "".
func (s *Session) Owner() string {
	w, _ := owners.ParseOwnership(s.metadata().Owner)
	return w.User
}

// SetLabel sets what the list of the owner's sessions shows for this one, such
// as the browser's name; 255 bytes at most. A list is read without the sessions'
// IDs, so a label, unlike a record, opens with a dump of the store and the
// encryption key.
func (s *Session) SetLabel(label string) error {
	if len(label) > maxLabelSize {
		return fmt.Errorf("%w: a label has %d bytes at most, this one %d", ErrInvalid, maxLabelSize, len(label))
	}
	if s.usable() && s.metadata().Label == label {
		return nil
	}
	return s.edit(func(md *envelope.Metadata) { md.Label = label })
}

// Handle names a session in the list of its owner's sessions. It can be shown
// on a page: it is the ID's key, and nobody can log in with it.
type Handle string

// Handle returns the session's own handle, to find it in the list.
func (s *Session) Handle() Handle { return Handle(s.ID().Key().String()) }

// OwnedSession is one live session of an owner. Where the key that sealed its
// entry is no longer in the ring, Label, Created, LoggedIn and LastSeen are zero.
type OwnedSession struct {
	Handle   Handle
	Label    string
	Created  time.Time // when it began
	LoggedIn time.Time // when it became the owner's, or had its last new ID
	LastSeen time.Time // to within the touch interval; zero where sessions do not roll
	Expires  time.Time // when it ends unless it is used
}

func (m *Manager) owned(what string) error {
	switch {
	case m.owners == nil && m.revocation.listsOwners():
		return fmt.Errorf("%w: %s needs a list of sessions, which the %s store leaves to the clients; use a store on a server", ErrConfig, what, m.place.Name)
	case m.owners == nil:
		return fmt.Errorf("%w: %s needs WithOwners", ErrConfig, what)
	}
	return nil
}

// Sessions returns userID's live sessions, the latest login first. It costs in
// proportion to them, and to the logins of the last hour.
func (m *Manager) Sessions(ctx context.Context, userID string) ([]OwnedSession, error) {
	if err := m.owned("Sessions"); err != nil {
		return nil, err
	}
	live, err := m.owners.List(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []OwnedSession
	for i := range live {
		e := &live[len(live)-1-i]
		o := OwnedSession{Handle: Handle(e.Key.String()), Label: e.Label, Created: e.Created, LoggedIn: e.LoggedIn, Expires: e.Ends}
		if e.Idle > 0 && e.Ends.Before(e.Deadline) {
			o.LastSeen = e.Ends.Add(-e.Idle)
		}
		list = append(list, o)
	}
	return list, nil
}

// Revoke ends one of userID's sessions. A handle that is not one of theirs is
// [stores.ErrNotFound]: nobody can end another's session. A handle that the session
// had before its last new ID is as good for some minutes.
func (m *Manager) Revoke(ctx context.Context, userID string, handle Handle) error {
	if err := m.owned("Revoke"); err != nil {
		return err
	}
	key, err := stores.ParseKey(string(handle))
	if err != nil {
		return fmt.Errorf("%w: not a handle", stores.ErrNotFound)
	}
	started := m.clock()
	if err = m.owners.EndOne(ctx, userID, key); err == nil {
		m.emit(ctx, evRevoked, key, started, Event{})
	}
	return err
}

// RevokeAll ends all of userID's sessions, logins that are under way among them,
// and returns how many it found. Sessions end at their next request; with a
// cookie cache, within its time. A store without room for another byte may have none
// to tell the logins that are under way: then the sessions have ended, and the error
// is [stores.ErrFull].
func (m *Manager) RevokeAll(ctx context.Context, userID string) (int, error) {
	if m.revocation.listsOwners() {
		return 0, m.revokeListed(ctx, userID)
	}
	if err := m.owned("RevokeAll"); err != nil {
		return 0, err
	}
	_, err := m.owners.Raise(ctx, owners.Ownership{User: userID})
	if err != nil && !errors.Is(err, stores.ErrFull) {
		return 0, err
	}
	n, endErr := m.endAll(ctx, userID, 0)
	return n, cmp.Or(endErr, err)
}

// RevokeOthers is RevokeAll for all sessions of s's owner but s itself. It also
// changes s, which must be committed: the middleware does that.
func (m *Manager) RevokeOthers(ctx context.Context, s *Session) (int, error) {
	if m.revocation.listsOwners() {
		return 0, m.revokeOthersListed(ctx, s)
	}
	if err := m.owned("RevokeOthers"); err != nil {
		return 0, err
	}
	w, ok := owners.ParseOwnership(s.metadata().Owner)
	if !ok || w.Number() == 0 {
		return 0, fmt.Errorf("%w: the session has no owner yet; call SetOwner at login, and commit", stores.ErrNotFound)
	}
	epoch, full := m.owners.Raise(ctx, w)
	if full != nil && !errors.Is(full, stores.ErrFull) {
		return 0, full
	}
	if full == nil {
		// Also where the rest fails: a session that does not know the epoch could
		// not change its ID after the next one.
		err := s.edit(func(md *envelope.Metadata) {
			if now, ok := owners.ParseOwnership(md.Owner); ok && now.User == w.User {
				md.Owner = now.InEpoch(epoch).String()
			}
		})
		if err != nil {
			return 0, err
		}
	}
	n, err := m.endAll(ctx, w.User, w.Number())
	return n, cmp.Or(err, full)
}

func (m *Manager) endAll(ctx context.Context, user string, spared uint64) (int, error) {
	started := m.clock()
	ended, err := m.owners.EndAll(ctx, user, spared)
	for _, key := range ended {
		m.emit(ctx, evRevoked, key, started, Event{})
	}
	return len(ended), err
}
