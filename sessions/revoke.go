package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// Handle names a session in the list of its owner's sessions. It can be shown
// on a page: it is a hash of the ID, and nobody can log in with it.
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

// Sessions returns userID's live sessions, the latest login first. It costs in
// proportion to them.
func (m *Manager) Sessions(ctx context.Context, userID string) ([]OwnedSession, error) {
	if m.owners == nil {
		return nil, fmt.Errorf("%w: Sessions needs WithOwners", ErrConfig)
	}
	entries, err := m.entries(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []OwnedSession
	for _, e := range entries {
		if e.Expires.IsZero() {
			continue
		}
		o := OwnedSession{
			Handle: Handle(e.Key.String()), Label: e.env.Label,
			Created: e.env.Created, LoggedIn: e.env.Sealed, Expires: e.Expires,
		}
		if m.expiry.idle > 0 && e.Expires.Before(e.env.Deadline) {
			o.LastSeen = e.Expires.Add(-m.expiry.idle)
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b OwnedSession) int { return b.LoggedIn.Compare(a.LoggedIn) })
	return list, nil
}

// Revoke ends one of userID's sessions. A handle that is not one of theirs is
// [stores.ErrNotFound]: nobody can end another's session.
func (m *Manager) Revoke(ctx context.Context, userID string, handle Handle) error {
	_, err := m.revoke(ctx, userID, func(k stores.Key) bool { return k.String() == string(handle) })
	return err
}

// RevokeAll ends all of userID's sessions, logins that are under way among them,
// and returns how many it found. Sessions end at their next request; with a
// cookie cache, within its time.
func (m *Manager) RevokeAll(ctx context.Context, userID string) (int, error) {
	if err := m.newEpoch(ctx, userID); err != nil {
		return 0, err
	}
	n, err := m.revoke(ctx, userID, func(stores.Key) bool { return true })
	if errors.Is(err, stores.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

// RevokeOthers is RevokeAll for all sessions of s's owner but s itself. It also
// changes s, which must be committed: the middleware does that.
func (m *Manager) RevokeOthers(ctx context.Context, s *Session) (int, error) {
	user := s.Owner()
	if user == "" {
		return 0, fmt.Errorf("%w: the session has no owner; call SetOwner at login", stores.ErrNotFound)
	}
	if err := m.newEpoch(ctx, user); err != nil {
		return 0, err
	}
	w, err := m.owners.current(ctx, user)
	if err != nil {
		return 0, err
	}
	// Also where the rest fails: the epoch is another already, and a session that
	// does not know it could never change its ID.
	late := s.edit(func(meta *serialize.Metadata) { meta.Owner = w.String() })
	s.mu.Lock()
	own := s.held.id().Key()
	s.mu.Unlock()
	n, err := m.revoke(ctx, user, func(k stores.Key) bool { return k != own })
	if errors.Is(err, stores.ErrNotFound) { // it is the only one
		err = nil
	}
	return n, cmp.Or(err, late)
}

func (m *Manager) newEpoch(ctx context.Context, user string) error {
	if m.owners == nil {
		return fmt.Errorf("%w: ending a user's sessions needs WithOwners", ErrConfig)
	}
	for _, h := range m.owners.hashes(user) {
		if err := m.owners.index.NewEpoch(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// revoke ends the sessions of user that match.
func (m *Manager) revoke(ctx context.Context, user string, match func(stores.Key) bool) (int, error) {
	if m.owners == nil {
		return 0, fmt.Errorf("%w: ending a user's sessions needs WithOwners", ErrConfig)
	}
	n := 0
	for _, h := range m.owners.hashes(user) {
		entries, err := m.owners.index.Entries(ctx, h)
		if err != nil {
			return n, err
		}
		var keys []stores.Key
		for _, e := range entries {
			if match(e.Key) {
				keys = append(keys, e.Key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		started := m.clock()
		if err := m.owners.index.RemoveOwned(ctx, h, keys...); err != nil {
			return n, err
		}
		n += len(keys)
		for _, k := range keys {
			m.emit(ctx, evDestroyed, stores.ID{}, started, Event{Key: k})
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("%w among the owner's", stores.ErrNotFound)
	}
	return n, nil
}
