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

// Revoke ends one of userID's sessions, also where its ID is changed meanwhile. A
// handle that is not one of theirs is [stores.ErrNotFound]: nobody can end
// another's session.
func (m *Manager) Revoke(ctx context.Context, userID string, handle Handle) error {
	if m.owners == nil {
		return errNoOwners
	}
	ended, err := m.endListed(ctx, userID, string(handle))
	if err == nil && !ended {
		err = fmt.Errorf("%w among the owner's", stores.ErrNotFound)
	}
	return err
}

// endListed ends the session of user that has, or lately had, the key of that text,
// and tells whether there was one. Its ID may change while the list is read or
// before the record is removed; but the new record is listed before the old one
// goes, so it is on the next list.
func (m *Manager) endListed(ctx context.Context, user, key string) (ended bool, err error) {
	known := map[string]bool{key: true}
	for again := true; ; {
		entries, err := m.entries(ctx, user)
		if err != nil {
			return ended, err
		}
		var keys []entry
		moved := false
		for _, e := range entries {
			moved = moved || !e.live() && known[e.Key.String()]
		}
		for _, s := range bySession(entries) {
			if slices.ContainsFunc(s, func(e entry) bool { return known[e.Key.String()] || known[e.replaces().String()] }) {
				keys = append(keys, s...)
			}
		}
		if len(keys) == 0 && !(moved && again) {
			return ended, nil
		}
		if err := m.endEntries(ctx, user, keys); err != nil {
			return ended, err
		}
		for _, e := range keys {
			known[e.Key.String()] = true
		}
		again, ended = len(keys) > 0, ended || len(keys) > 0
	}
}

// RevokeAll ends all of userID's sessions, logins that are under way among them,
// and returns how many it found. Sessions end at their next request; with a
// cookie cache, within its time. Where it fails, call it again; what it left
// ends when it is to change its ID.
func (m *Manager) RevokeAll(ctx context.Context, userID string) (int, error) {
	if err := m.newEpoch(ctx, userID); err != nil {
		return 0, err
	}
	return m.endAllBut(ctx, userID, stores.Key{})
}

// RevokeOthers is RevokeAll for all sessions of s's owner but s itself. It also
// changes s, which must be committed: the middleware does that. A request that
// changes the ID of s at the same moment may end it.
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
	// does not know it can't change its ID.
	late := s.edit(func(meta *serialize.Metadata) { meta.Owner = w.String() })
	s.mu.Lock()
	own := s.held.id().Key()
	s.mu.Unlock()
	n, err := m.endAllBut(ctx, user, own)
	return n, cmp.Or(err, late)
}

var errNoOwners = fmt.Errorf("%w: ending a user's sessions needs WithOwners", ErrConfig)

func (m *Manager) newEpoch(ctx context.Context, user string) error {
	if m.owners == nil {
		return errNoOwners
	}
	for _, h := range m.owners.hashes(user) {
		if err := m.owners.index.NewEpoch(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// endAllBut ends what is on the list of user, and returns how many sessions that
// were. It takes entries without a record too: whoever is about to write one finds
// the new epoch.
func (m *Manager) endAllBut(ctx context.Context, user string, own stores.Key) (n int, err error) {
	entries, err := m.entries(ctx, user)
	if err != nil {
		return 0, err
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.Key == own })
	for _, e := range entries {
		if e.live() {
			n++
		}
	}
	if err := m.endEntries(ctx, user, entries); err != nil {
		return 0, err
	}
	return n, nil
}

// stayTime is how long a session may not know of an epoch that has begun: its
// request has called RevokeOthers, and is about to commit.
const stayTime = time.Second

// finish is for a session that is there although all of its owner's were to be
// ended since it began. Either the request that keeps it by RevokeOthers has not
// committed yet, which is [stores.ErrConflict] when it has. Or whoever was to end it
// broke off, and it is ended here: [ErrEnded].
func (m *Manager) finish(ctx context.Context, base *held) error {
	started := m.clock()
	until := time.Now().Add(stayTime)
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 64*time.Millisecond) {
		h, err := m.loadRecord(ctx, base.token)
		if _, rejected := errors.AsType[*RejectedError](err); rejected {
			return ErrEnded
		}
		if err != nil {
			return err
		}
		if err := m.confirmEpoch(ctx, h.meta); !errors.Is(err, ErrEnded) {
			return cmp.Or(err, stores.ErrConflict)
		}
		if !time.Now().Before(until) {
			switch err := m.end(ctx, h.token, h.rev, h.meta); {
			case err == nil:
				m.forget(ctx, h)
				m.emit(ctx, evDestroyed, h.token.ID, started, Event{})
				return ErrEnded
			case errors.Is(err, stores.ErrNotFound):
				return ErrEnded
			case !errors.Is(err, stores.ErrConflict):
				return err
			}
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ErrBusy
		}
	}
}
