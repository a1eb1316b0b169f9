package sessions

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// The limit of an owner's sessions holds because all who log in at once see one
// list in one order (stores.Entry.Added):
//
//   - Where the limit refuses, whoever finds the limit reached by the entries before
//     its own refuses itself, and nobody else. So an entry must count before its
//     record is there.
//   - Where the oldest end, a login looks when its own record is written, and ends
//     whatever is beyond the limit, itself included. The last one to look has all
//     the others before it. An entry without a record is never taken away: its
//     record may come, and would live on no list.

// refuse keeps a login whose entry is filed under key within the limit, before its
// record is written. old says whose session it was before: who logs in again in the
// same session takes no further place, nor does a new ID.
func (m *Manager) refuse(ctx context.Context, key stores.Key, old, meta serialize.Metadata) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil || m.owners.most == 0 || m.owners.evict {
		return nil
	}
	if sameOwner(old, meta) {
		return nil
	}
	entries, err := m.entries(ctx, w.user)
	if err != nil {
		return err
	}
	own := entry{Entry: stores.Entry{Key: key, Added: time.Now()}}
	for _, e := range entries {
		if e.Key == key {
			own = e
		}
	}
	before := 0
	live := make(map[stores.Key]bool)
	for _, s := range bySession(entries) {
		for _, e := range s {
			live[e.Key] = true
		}
		if later(own, s[0]) < 0 {
			before++
		}
	}
	for _, e := range entries {
		if m.underWay(e) && later(own, e) < 0 && !live[e.replaces()] {
			before++
		}
	}
	if before >= m.owners.most {
		return fmt.Errorf("%w: %d are allowed", ErrTooManySessions, m.owners.most)
	}
	return nil
}

// endOldest ends what is beyond the limit, when the record of key is written. It is
// [ErrEnded] where that is the session itself: as many others have logged in since.
func (m *Manager) endOldest(ctx context.Context, key stores.Key, meta serialize.Metadata) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil || m.owners.most == 0 || !m.owners.evict {
		return nil
	}
	entries, err := m.entries(ctx, w.user)
	if err != nil {
		return err
	}
	sessions := bySession(entries)
	own := slices.IndexFunc(sessions, func(s listed) bool { return s.has(key) })
	var beyond []entry
	for _, s := range sessions[min(len(sessions), m.owners.most):] {
		for _, e := range s {
			if e.Key != key { // which the caller takes back
				beyond = append(beyond, e)
			}
		}
	}
	if err := m.endEntries(ctx, w.user, beyond); err != nil {
		return err
	}
	if own < 0 {
		return ErrEnded
	}
	if own >= m.owners.most {
		return fmt.Errorf("%w: its owner has logged in %d times since", ErrEnded, m.owners.most)
	}
	return nil
}

// endEntries ends sessions of user.
func (m *Manager) endEntries(ctx context.Context, user string, list []entry) error {
	if len(list) == 0 {
		return nil
	}
	started := m.clock()
	var keys []stores.Key
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	if err := m.unfile(ctx, user, keys...); err != nil {
		return err
	}
	for _, e := range list {
		if e.live() {
			m.emit(ctx, evDestroyed, stores.ID{}, started, Event{Key: e.Key})
		}
	}
	return nil
}
