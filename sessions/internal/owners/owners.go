// Package owners lists the sessions of each user and ends them. What makes it hold
// is the order of writes, the owner's epoch, and the numbers that the index gives:
//
//   - An entry is written before its record and removed after it, so no live
//     session is missing from the list. An entry without a record is a login under
//     way: nobody ends it, and it leaves the list when it is an hour old.
//   - An owner's epoch is raised before the list is read to end what is on it. A
//     login seals the epoch in which it began. When it has written entry and record
//     it asks again: if the epoch was raised, it removes what it wrote. If not, its
//     record was there before the list was read.
//   - An external ID, by which another system ends a session, is one more owner of it: it
//     has a list and an epoch of its own, of which any but 0 is the end for good.
//   - A regeneration's entry keeps the number of the one before, so that both are
//     one session. A limit counts numbers, after the record is written.
package owners

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/mac"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// ErrTooMany: the owner has as many sessions as are allowed.
var ErrTooMany = errors.New("sessions: the owner has too many sessions")

// ErrRevoked: all of the owner's sessions were ended, or are just being, since this
// one's login.
var ErrRevoked = fmt.Errorf("%w, as all sessions of its owner were", swap.ErrRevoked)

// ErrExternal: the session's external ID was ended by whoever gave it.
var ErrExternal = fmt.Errorf("%w where its user logged in with it", swap.ErrRevoked)

// labelDomain is the binding's domain of what a list of sessions shows. It is
// bound to the owner, not to a session's ID, which the list can't know; so,
// unlike a record, it opens with a dump and the keys.
const labelDomain = "bulla entry of an owner"

// inFlight is how long a session without a record may be one whose login is on its
// way.
const inFlight = time.Hour

// Config is what New needs.
type Config struct {
	Index  stores.OwnerIndex
	Engine *swap.Engine
	Keys   []encrypt.Key // the first files, all find

	Audience, Name string

	Most      int  // sessions of one owner; 0: any number
	EndOldest bool // end the oldest beyond that, instead of refusing the new one

	// Past tells whether everybody's session with these epochs has ended; nil where that
	// can't be.
	Past func(epochs []byte) bool

	// Outdone is told of a session that a newer login has ended.
	Outdone func(ctx context.Context, key stores.Key)

	// Unreadable is told of an entry that does not open.
	Unreadable func(ctx context.Context, key stores.Key, err error)
}

// Owners is safe for concurrent use. A nil Owners is that of sessions without
// owners: its methods for a session's life do nothing.
type Owners struct {
	Config
	mac   *mac.Ring
	ext   *mac.Ring // of external IDs: whatever a user is called, it is none of them
	filed string    // says under which key entries are filed
	label []byte    // binding prefix
	scope []byte    // of the hash: the application
}

// New returns the owners of a configuration.
func New(c Config) (*Owners, error) {
	ring, err := mac.New("bulla owner", c.Keys...)
	if err != nil {
		return nil, err
	}
	ext, err := mac.New("bulla external", c.Keys...)
	if err != nil {
		return nil, err
	}
	return &Owners{
		Config: c, mac: ring, ext: ext,
		filed: c.Keys[0].ID(),
		label: record.BindingPrefix(labelDomain, c.Audience, c.Name),
		scope: append(binary.AppendUvarint(nil, uint64(len(c.Audience))), c.Audience...),
	}, nil
}

// hashes returns the keys under which user may be filed; the first is where new
// sessions are.
func (o *Owners) hashes(user string) []stores.Key { return o.under(o.mac, user) }

// externals is hashes for an external ID.
func (o *Owners) externals(x External) []stores.Key { return o.under(o.ext, string(x.Text())) }

func (o *Owners) under(ring *mac.Ring, text string) []stores.Key {
	var all []stores.Key
	for _, tag := range ring.All(append(slices.Clone(o.scope), text...), 24) {
		all = append(all, stores.NewKey([24]byte(tag)))
	}
	return all
}

// everywhere returns the keys under which w's session is, or was, filed.
func (o *Owners) everywhere(w Ownership) []stores.Key {
	all := o.hashes(w.User)
	if !w.external.IsZero() {
		all = append(all, o.externals(w.external)...)
	}
	return all
}

// Begin returns what the record of a session says that becomes user's now. It reads
// the owner's epoch, and that of the external ID, if there is one: it is [swap.ErrRevoked]
// where that has ended.
func (o *Owners) Begin(ctx context.Context, user string, x External) (Ownership, error) {
	now, err := o.epoch(ctx, o.hashes(user))
	if err != nil {
		return Ownership{}, err
	}
	if err := o.lives(ctx, x); err != nil {
		return Ownership{}, err
	}
	return Ownership{User: user, filed: o.filed, epoch: now.number, external: x}, nil
}

// lives tells whether an external ID has not ended.
func (o *Owners) lives(ctx context.Context, x External) error {
	if x.IsZero() {
		return nil
	}
	now, err := o.epoch(ctx, o.externals(x))
	if err == nil && now.number > 0 {
		err = ErrExternal
	}
	return err
}

// File writes the entry of a session that is about to be written under key, and
// notes in md where it is filed. before is the session's state under its old ID, nil
// where it had none.
func (o *Owners) File(ctx context.Context, key stores.Key, md *envelope.Metadata, before *record.State) error {
	w, ok := o.of(md)
	if !ok {
		return nil
	}
	if old, ok := o.of(ref(before.Metadata())); ok && old.User == w.User {
		w.number = old.number
		w.replaced = old.replaces(before.ID.Key(), o.Engine.StubLife)
	}
	return o.file(ctx, key, md, w, time.Now())
}

// Refile writes the entry of a session that is saved under the same ID, where what
// it shows has changed or it is sealed or filed under a retired key.
func (o *Owners) Refile(ctx context.Context, base *record.State, md *envelope.Metadata) error {
	w, ok := o.of(md)
	was := &base.Meta
	if !ok || w.filed == o.filed && !base.Stale &&
		md.Label == was.Label && md.Deadline.Equal(was.Deadline) && md.OwnIdle == was.OwnIdle {
		return nil
	}
	moved := w.filed != o.filed
	if err := o.file(ctx, base.ID.Key(), md, w, md.Created); err != nil || !moved {
		return err
	}
	first := []stores.Key{o.hashes(w.User)[0]}
	if !w.external.IsZero() {
		first = append(first, o.externals(w.external)[0])
	}
	for _, h := range o.everywhere(w) {
		if slices.Contains(first, h) {
			continue
		}
		if err := o.remove(ctx, h, base.ID.Key()); err != nil {
			return err
		}
	}
	return nil
}

// Misfiled tells whether the entry of a session is filed under a retired key: when that
// is taken out, the session would be alive and on no list.
func (o *Owners) Misfiled(md *envelope.Metadata) bool {
	return o != nil && md.Owner != "" && !strings.HasPrefix(md.Owner, o.filed)
}

func (o *Owners) file(ctx context.Context, key stores.Key, md *envelope.Metadata, w Ownership, login time.Time) error {
	c := content{
		Label: md.Label, Created: md.Created, Deadline: md.Deadline, Idle: o.Engine.Policy.IdleOf(md), LoggedIn: login, epochs: md.Epochs, replaced: w.replaced,
	}
	var err error
	if w.number, err = o.enter(ctx, o.hashes(w.User), key, w.number, c); err != nil {
		return err
	}
	if !w.external.IsZero() {
		if _, err = o.enter(ctx, o.externals(w.external), key, 0, c); err != nil {
			return err
		}
	}
	w.filed = o.filed
	md.Owner = w.String()
	return nil
}

// enter writes the entry of a session into one list, and returns its number there. A
// number of 0 asks for one.
func (o *Owners) enter(ctx context.Context, hashes []stores.Key, key stores.Key, number uint64, c content) (uint64, error) {
	data, err := o.sealEntry(hashes[0], c)
	if err != nil {
		return 0, err
	}
	e := stores.Entry{Key: key, Number: number, Data: data, Expires: c.Deadline}
	if err := o.add(ctx, hashes[0], &e); err != nil {
		return 0, err
	}
	if number == 0 && len(hashes) > 1 {
		if err := o.renumber(ctx, hashes, &e); err != nil {
			return 0, err
		}
	}
	return e.Number, nil
}

// add writes an entry, and sets its number.
func (o *Owners) add(ctx context.Context, owner stores.Key, e *stores.Entry) error {
	return o.Engine.Again(ctx, func() error {
		number, err := o.Index.AddEntry(ctx, owner, *e)
		if err == nil {
			e.Number = number
		}
		return err
	})
}

// renumber gives e, the entry of a login, a number beyond all others of its owner. While
// keys change an owner has several lists, each of which the index numbers by itself.
// Whoever does the same at the same time is seen by the next look. Numbers are drawn,
// so that none that is given up, and comes late, is another's.
func (o *Owners) renumber(ctx context.Context, hashes []stores.Key, e *stores.Entry) error {
	for {
		var all []One
		err := o.Engine.Again(ctx, func() (err error) {
			all, err = o.entries(ctx, hashes)
			return err
		})
		if err != nil {
			return err
		}
		var highest uint64
		for _, other := range all {
			if other.Key != e.Key {
				highest = max(highest, other.Number)
			}
		}
		if e.Number > highest {
			return nil
		}
		e.Number = highest + 1 + rand.Uint64N(1<<20)
		if err := o.add(ctx, hashes[0], e); err != nil {
			return err
		}
	}
}

// Confirm tells, when entry and record are written, whether the session may live.
// It is [swap.ErrRevoked] where all of the owner's sessions were ended since its login
// began, or all of its external ID, [swap.ErrEnded] where it is beyond the limit itself, and [ErrTooMany] where the limit
// refuses. login tells that the session was not the owner's before. again tells that
// md has changed, and the record must be written once more.
func (o *Owners) Confirm(ctx context.Context, key stores.Key, md *envelope.Metadata, login bool) (again bool, err error) {
	w, ok := o.of(md)
	if !ok {
		return false, nil
	}
	var now epoch
	err = o.Engine.Again(ctx, func() (err error) {
		if now, err = o.epoch(ctx, o.hashes(w.User)); err != nil {
			return err
		}
		return o.lives(ctx, w.external)
	})
	if err != nil {
		return false, err
	}
	switch {
	case now.number == 0, now.number == w.epoch:
	case now.spares(w):
		w.epoch = now.number
		md.Owner = w.String()
		return true, nil
	default:
		return false, ErrRevoked
	}
	if login && o.Most > 0 {
		return false, o.Engine.Again(ctx, func() error { return o.limit(ctx, key, w) })
	}
	return false, nil
}

// Drop removes the entries of a session that has ended, or has another ID.
func (o *Owners) Drop(ctx context.Context, key stores.Key, md *envelope.Metadata) error {
	w, ok := o.of(md)
	if !ok {
		return nil
	}
	for _, h := range o.everywhere(w) {
		if err := o.remove(ctx, h, key); err != nil {
			return err
		}
	}
	return nil
}

func (o *Owners) remove(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	return o.Engine.Again(ctx, func() error { return o.Index.RemoveEntries(ctx, owner, keys...) })
}

// of returns what md says of its owner.
func (o *Owners) of(md *envelope.Metadata) (Ownership, bool) {
	if o == nil || md.Owner == "" {
		return Ownership{}, false
	}
	return ParseOwnership(md.Owner)
}

// Over tells whether err, of a Confirm of now, is as true of the session under its old ID.
func Over(err error, old, now *envelope.Metadata) bool {
	v, _ := ParseOwnership(old.Owner)
	w, _ := ParseOwnership(now.Owner)
	return v.User == w.User && (errors.Is(err, ErrRevoked) || errors.Is(err, ErrExternal) && v.external == w.external)
}

// Same tells whether two states of a session have the same owner, who may be
// nobody.
func Same(a, b *envelope.Metadata) bool {
	v, _ := ParseOwnership(a.Owner)
	w, _ := ParseOwnership(b.Owner)
	return v.User == w.User
}

func ref(md envelope.Metadata) *envelope.Metadata { return &md }
