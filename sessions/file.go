package sessions

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// replacesName is the name of the value in an entry that says which key the
// session had before its ID was changed.
const replacesName = "replaces"

// entry is an entry that is opened. Where the session has no record, and no login
// can be under way, nobody asks what it says, and it is not.
type entry struct {
	stores.Entry
	env serialize.Envelope
}

func (e entry) live() bool { return !e.Expires.IsZero() }

// underWay tells whether an entry without a record may be that of a login which is
// about to write it.
func (m *Manager) underWay(e entry) bool {
	// Longer than any commit takes.
	return !e.live() && time.Since(e.Added) < max(time.Minute, 2*m.timeout)
}

// replaces returns the key that the session had before, or the zero Key.
func (e entry) replaces() (k stores.Key) {
	data, _ := e.env.Values.Get(replacesName)
	copy(k[:], data)
	return k
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
			if !x.live() && !m.underWay(x) {
				list = append(list, x)
				continue
			}
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
// the time of its login, and the key that it replaces or none.
func (m *Manager) file(ctx context.Context, key, replaces stores.Key, meta serialize.Metadata, login time.Time) error {
	w, ok := parseOwnership(meta.Owner)
	if !ok || m.owners == nil {
		return nil
	}
	h := m.owners.first(w.user)
	env := serialize.Envelope{Metadata: serialize.Metadata{
		Created: meta.Created, Deadline: meta.Deadline, Label: meta.Label, Sealed: login,
	}}
	var err error
	if replaces != (stores.Key{}) {
		env.Values, err = env.Values.With(replacesName, replaces[:])
	}
	var data []byte
	if err == nil {
		data, err = serialize.Join(nil, env)
	}
	if err == nil && m.encryptor != nil {
		data, err = m.encryptor.Encrypt(nil, data, m.owners.labelBinding(h))
	}
	if err != nil {
		return err
	}
	return m.owners.index.AddEntry(ctx, h, stores.Entry{Key: key, Data: data, Deadline: meta.Deadline})
}

// unfile removes sessions of user: their records, and then their entries.
func (m *Manager) unfile(ctx context.Context, user string, keys ...stores.Key) error {
	for _, h := range m.owners.hashes(user) {
		if err := m.owners.index.RemoveOwned(ctx, h, keys...); err != nil {
			return err
		}
	}
	return nil
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

// listed is one session of a list. It has more than one entry while its ID is
// being changed; the first is the latest.
type listed []entry

// bySession returns the sessions that have a record, the latest first. What was
// added later is later; the keys decide between entries of the same moment, so
// that all who look find the same order.
func bySession(entries []entry) []listed {
	live := make(map[stores.Key]entry)
	for _, e := range entries {
		if e.live() {
			live[e.Key] = e
		}
	}
	sessions := make(map[stores.Key]listed)
	for _, e := range live {
		first := firstKey(live, e)
		sessions[first] = append(sessions[first], e)
	}
	var list []listed
	for _, s := range sessions {
		slices.SortFunc(s, later)
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b listed) int { return later(a[0], b[0]) })
	return list
}

// firstKey follows an entry to the key that its session had first, as far as live
// tells.
func firstKey(live map[stores.Key]entry, e entry) stores.Key {
	for range len(live) { // an entry that is not sealed may say anything
		replaces := e.replaces()
		if replaces == (stores.Key{}) {
			break
		}
		before, ok := live[replaces]
		if !ok {
			return replaces
		}
		e = before
	}
	return e.Key
}

func later(a, b entry) int {
	return cmp.Or(b.Added.Compare(a.Added), slices.Compare(b.Key[:], a.Key[:]))
}

func (s listed) has(key stores.Key) bool {
	return slices.ContainsFunc(s, func(e entry) bool { return e.Key == key })
}

// owned tells whether a session has an owner whose list it is on.
func (m *Manager) owned(meta serialize.Metadata) bool {
	_, ok := parseOwnership(meta.Owner)
	return ok && m.owners != nil
}

// misfiled tells whether the entry of a session is under a retired key of the
// owners. Every load asks it.
func (m *Manager) misfiled(meta serialize.Metadata) bool {
	return m.owners != nil && meta.Owner != "" && !strings.HasPrefix(meta.Owner, m.owners.filed)
}

// refile brings the entry of a session that is saved again up to date: its label,
// and the keys under which it is filed and sealed. It returns the edits with what
// the record must say of it. Where the owner's sessions were ended since the login,
// it ends this one too.
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
			return nil, m.finish(ctx, h)
		}
		edits = append(slices.Clip(edits), func(meta *serialize.Metadata) { meta.Owner = now.String() })
	}
	entries, err := m.entries(ctx, w.user)
	if err != nil {
		return nil, err
	}
	key, login, replaces := h.token.ID.Key(), meta.Created, stores.Key{}
	for _, e := range entries {
		if e.Key == key && !e.env.Sealed.IsZero() {
			login, replaces = e.env.Sealed, e.replaces()
		}
	}
	return edits, m.file(ctx, key, replaces, meta, login)
}
