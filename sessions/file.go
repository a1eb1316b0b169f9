package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// inFlight is how long a session without a record may be one whose login is on
// its way; longer than any commit takes.
const inFlight = time.Minute

// entry is an entry that is opened.
type entry struct {
	stores.Entry
	env serialize.Envelope
}

// entries returns what is filed under any of user's hashes. The content of an
// entry that does not open is zero.
func (m *Manager) entries(ctx context.Context, user string) ([]entry, error) {
	var list []entry
	seen := make(map[stores.Key]bool)
	for _, h := range m.owners.hashes(user) {
		found, err := m.owners.index.Entries(ctx, h)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			if seen[e.Key] {
				continue // filed under a retired key too
			}
			seen[e.Key] = true
			x := entry{Entry: e}
			if x.env, err = m.openEntry(h, e.Data); err != nil {
				// Its key was taken out of the ring. The session must still
				// be seen and ended, and must not keep its owner out.
				m.emit(ctx, evStoreError, stores.ID{}, time.Time{}, Event{Key: e.Key, Err: fmt.Errorf("%w: %w", ErrUnreadable, err)})
			}
			list = append(list, x)
		}
	}
	return list, nil
}

// labelBinding binds an entry to its owner.
func (o *owners) labelBinding(h stores.OwnerKey) []byte {
	b := append(slices.Clone(o.label), byte(len(h)))
	return append(b, h[:]...)
}

func (m *Manager) openEntry(h stores.OwnerKey, data []byte) (env serialize.Envelope, err error) {
	if m.encryptor != nil {
		if data, err = m.encryptor.Decrypt(nil, data, m.owners.labelBinding(h)); err != nil {
			return env, err
		}
	}
	return serialize.Split(data)
}

// file writes the entry of a session that is about to be written under key, with
// the time of its login.
func (m *Manager) file(ctx context.Context, key stores.Key, meta serialize.Metadata, login time.Time) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil {
		return nil
	}
	h := m.owners.first(w.user)
	data, err := serialize.Join(nil, serialize.Envelope{Metadata: serialize.Metadata{
		Created: meta.Created, Deadline: meta.Deadline, Label: meta.Label, Sealed: login,
	}})
	if err == nil && m.encryptor != nil {
		data, err = m.encryptor.Encrypt(nil, data, m.owners.labelBinding(h))
	}
	if err != nil {
		return err
	}
	return m.owners.index.AddEntry(ctx, h, stores.Entry{Key: key, Data: data, Deadline: meta.Deadline})
}

// unfile removes the record of an owned session and its entries. It tells
// whether the session had an owner.
func (m *Manager) unfile(ctx context.Context, key stores.Key, meta serialize.Metadata) (bool, error) {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil {
		return false, nil
	}
	for _, h := range m.owners.hashes(w.user) {
		if err := m.owners.index.RemoveOwned(ctx, h, key); err != nil {
			return true, err
		}
	}
	return true, nil
}

// confirmEpoch tells whether all of the owner's sessions were ended since this one's
// login began; it is [ErrEnded] then.
func (m *Manager) confirmEpoch(ctx context.Context, meta serialize.Metadata) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil {
		return nil
	}
	now, err := m.owners.current(ctx, w.user)
	if err == nil && !w.begun(now) {
		err = ErrEnded
	}
	return err
}

// limit keeps the number of an owner's sessions within the limit, when a login
// has filed key. old is the session that the login replaces.
func (m *Manager) limit(ctx context.Context, key, old stores.Key, meta serialize.Metadata) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil || m.owners.most == 0 {
		return nil
	}
	entries, err := m.entries(ctx, w.user)
	if err != nil {
		return err
	}
	replaces := false
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		dead := e.Expires.IsZero() && time.Since(e.env.Sealed) > inFlight
		replaces = replaces || e.Key == old
		return dead || e.Key == key || e.Key == old
	})
	over := len(entries) + 1 - m.owners.most
	if over <= 0 || replaces && !m.owners.evict { // the limit was lowered: no session more than there were
		return nil
	}
	if !m.owners.evict {
		return fmt.Errorf("%w: %d are allowed", ErrTooManySessions, m.owners.most)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.env.Sealed.Compare(b.env.Sealed) })
	var keys []stores.Key
	for _, e := range entries[:over] {
		keys = append(keys, e.Key)
	}
	_, err = m.revoke(ctx, w.user, func(k stores.Key) bool { return slices.Contains(keys, k) })
	if errors.Is(err, stores.ErrNotFound) { // they ended meanwhile
		err = nil
	}
	return err
}

// owned tells whether a session has an owner whose list it is on.
func (m *Manager) owned(meta serialize.Metadata) bool {
	_, ok := parseOwnership(meta.Owner)
	return ok && m.owners != nil
}

// misfiled tells whether the entry of a session is under a retired key of the
// owners.
func (m *Manager) misfiled(meta serialize.Metadata) bool {
	w, ok := parseOwnership(meta.Owner)
	return ok && m.owners != nil && w.filed != m.owners.first(w.user).String()[:filedSize]
}

// refile brings the entry of a session that is saved again up to date: its label,
// and the keys under which it is filed and sealed. It returns the edits with what
// the record must say of it. It is [ErrEnded] where the owner's sessions were ended
// since the login.
func (m *Manager) refile(ctx context.Context, h *held, edits []edit) ([]edit, error) {
	meta := edited(h.meta, edits)
	if !m.owned(meta) || !h.refile && meta.Label == h.meta.Label {
		return edits, nil
	}
	w, _ := parseOwnership(meta.Owner)
	if m.misfiled(meta) {
		now, err := m.owners.current(ctx, w.user)
		if err != nil {
			return nil, err
		}
		if !w.begun(now) {
			return nil, ErrEnded
		}
		edits = append(slices.Clip(edits), func(meta *serialize.Metadata) { meta.Owner = now.String() })
	}
	entries, err := m.entries(ctx, w.user)
	if err != nil {
		return nil, err
	}
	key, login := h.token.ID.Key(), meta.Created
	for _, e := range entries {
		if e.Key == key && !e.env.Sealed.IsZero() {
			login = e.env.Sealed
		}
	}
	return edits, m.file(ctx, key, meta, login)
}
