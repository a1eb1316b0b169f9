package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// failed reports what is a failure, and passes err on.
func (m *Manager) failed(ctx context.Context, key stores.Key, started time.Time, err error) error {
	switch {
	case errors.Is(err, ErrEnded):
	case errors.Is(err, stores.ErrTooLarge), errors.Is(err, ErrTooManySessions), errors.Is(err, context.Canceled):
		m.emit(ctx, evRefused, key, started, Event{Err: err})
	default:
		m.emit(ctx, evStoreError, key, started, Event{Err: err})
	}
	return err
}

// conflict is told of another request's write by the engine.
func (m *Manager) conflict(ctx context.Context, key stores.Key, attempts int) {
	m.emit(ctx, evConflict, key, time.Time{}, Event{Attempts: attempts})
}

// next returns the change that j makes of a session's record.
func (m *Manager) next(j *job) swap.Change {
	return func(ctx context.Context, base *record.State) (md envelope.Metadata, vals envelope.Values, write bool, err error) {
		md, vals = j.log.Metadata(base.Meta), j.values
		if base != j.held {
			if vals, err = j.log.Values(base.Values); err != nil {
				return md, vals, false, err
			}
			if !j.log.Edits() && vals.Equal(base.Values) {
				return md, vals, false, nil // another request did the same
			}
		}
		return md, vals, true, m.owners.Refile(ctx, base, &md)
	}
}

// inClient writes a session's next state for the client's token, if it may be there
// and has room.
func (m *Manager) inClient(base *record.State, md envelope.Metadata, vals envelope.Values) (*record.State, bool, error) {
	if m.place.Cookie == nil || !base.ClientHeld() { // once on the server, it stays there
		return nil, false, nil
	}
	now := now()
	expires, err := swap.Stamp(m.policy, now, base, &md)
	if err != nil {
		return nil, false, err
	}
	md.Sealed = now
	bound := base.Bound
	if bound == nil {
		if bound, err = m.sealer.Bind(record.Client, base.ID); err != nil {
			return nil, false, err
		}
	}
	data, err := m.sealer.Seal(bound, record.Client, envelope.Envelope{Metadata: md, Values: vals})
	if err != nil {
		return nil, false, err
	}
	var binding []byte
	if m.place.Signed {
		binding = m.sealer.SignedBinding(base.ID)
	}
	text, err := m.place.Cookie.Encode(data, binding)
	if err != nil {
		return nil, false, err
	}
	if len(text) > m.room {
		if m.engine != nil {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("%w: the record takes %d characters, the cookie has room for %d; keep less in the session, or keep it on a server",
			stores.ErrTooLarge, len(text), m.room)
	}
	return &record.State{ID: base.ID, Expires: expires, Meta: md, Values: vals, Payload: text, Asked: now, Bound: bound}, true, nil
}

func (m *Manager) save(ctx context.Context, j *job) (*record.State, error) {
	started := m.clock()
	key := j.held.ID.Key()
	st, here, err := m.inClient(j.held, j.log.Metadata(j.held.Meta), j.values)
	attempts := 1
	if err == nil && !here {
		st, attempts, err = m.engine.Replace(ctx, j.held, m.next(j))
	}
	if err != nil {
		return nil, m.failed(ctx, key, started, err)
	}
	m.watcher.Used(m.watched(st))
	m.wrote(ctx, evSaved, st, started, attempts)
	return st, nil
}

func (m *Manager) create(ctx context.Context, j *job) (*record.State, error) {
	started := m.clock()
	epochs, err := m.newcomer(ctx)
	if err != nil {
		return nil, m.failed(ctx, j.id.Key(), started, err)
	}
	base := &record.State{ID: j.id, Meta: envelope.Metadata{Created: j.began, Deadline: m.policy.Deadline(j.began), Epochs: epochs}}
	md := j.log.Metadata(base.Meta)
	st, here, err := m.inClient(base, md, j.values)
	if err == nil && !here {
		st, err = m.begin(ctx, base, md, j.values)
	}
	if err != nil {
		return nil, m.failed(ctx, j.id.Key(), started, err)
	}
	m.wrote(ctx, evCreated, st, started, 1)
	return st, nil
}

// begin writes a session under an ID that nobody else has. Where that fails, nothing
// of it stays.
func (m *Manager) begin(ctx context.Context, base *record.State, md envelope.Metadata, vals envelope.Values) (*record.State, error) {
	st, err := m.tryBegin(ctx, base, nil, md, vals)
	if err != nil {
		m.abandon(ctx, st, &md, err)
	}
	return st, err
}

// tryBegin writes a session under an ID that nobody else has: base is its record there,
// or none; before is what it is under its old ID, nil for a new session. With an error
// it returns the record that is known to be there, or base.
func (m *Manager) tryBegin(ctx context.Context, base, before *record.State, md envelope.Metadata, vals envelope.Values) (*record.State, error) {
	key := base.ID.Key()
	login := !owners.Same(&md, ptr(before.Metadata()))
	if err := m.owners.File(ctx, key, &md, before); err != nil {
		return base, err
	}
	for {
		st, err := m.engine.Create(ctx, base, func(context.Context, *record.State) (envelope.Metadata, envelope.Values, bool, error) {
			return md, vals, true, nil
		})
		if err != nil {
			return base, err
		}
		again, err := m.owners.Confirm(ctx, key, &md, login)
		if err != nil || !again {
			return st, err
		}
		base = st
	}
}

func ptr[T any](v T) *T { return &v }

// abandon ends a record whose ID no client will be given, and takes it off its
// owner's list. st is what is known to be there, cause why it is given up.
func (m *Manager) abandon(ctx context.Context, st *record.State, md *envelope.Metadata, cause error) {
	key := st.ID.Key()
	var err error
	// Of a first write that was refused there is nothing to end, and a full store must
	// not be filled with the ends of the sessions that it had no room for.
	if st.Revision != "" || !swap.Refused(cause) {
		err = m.engine.Bury(ctx, key)
	}
	if err == nil {
		err = m.owners.Drop(context.WithoutCancel(ctx), key, md)
	}
	if err != nil {
		m.emit(ctx, evStoreError, key, time.Time{}, Event{Err: err})
	}
}

// fights is how often a regeneration tries to write both records with no other request
// between.
const fights = 5

// regenerate writes the session under its new ID, and then "moved" over the old
// record at the revision that was read: in this order, so that a failure between the
// two loses nothing, and at that revision, so that neither another request's change
// is lost nor its logout undone.
//
// Against requests that change the session all the time that order never wins: while the
// new record is written there is always another one. So after some attempts "moved" comes
// first, and then what it has replaced is written under the new ID. Where that fails the
// session is gone, and its user logs in again; but nobody who has the old ID can keep it.
func (m *Manager) regenerate(ctx context.Context, j *job) (*record.State, error) {
	started := m.clock()
	key := j.id.Key()
	if j.held.ClientHeld() {
		return m.regenerateHere(ctx, j)
	}
	old, leave, err := m.engine.Turn(ctx, j.held.ID.Key())
	if err != nil {
		return nil, m.failed(ctx, key, started, err)
	}
	defer leave()
	if old == nil || old.Meta.Generation < j.held.Meta.Generation {
		old = j.held
	}
	st := &record.State{ID: j.id}
	vals := j.values
	moved := false
	for attempts := 1; ; {
		md := j.log.Metadata(old.Meta)
		if old != j.held {
			if vals, err = j.log.Values(old.Values); err != nil {
				break
			}
		}
		// The new record goes on from the old one's count, so that it is told
		// from a new session's.
		st.Meta.Generation, st.Stale = max(old.Meta.Generation, 1), true // a layout may not keep it
		if st, err = m.tryBegin(ctx, st, old, md, vals); err != nil {
			break
		}
		written := old
		if !moved {
			if moved, old, err = m.moveAway(ctx, j, old, st, &attempts); err != nil {
				break
			}
		}
		if moved && old == written {
			// An entry without a record shows nothing and ends by itself.
			if err := m.owners.Drop(ctx, old.ID.Key(), &old.Meta); err != nil {
				m.emit(ctx, evStoreError, old.ID.Key(), time.Time{}, Event{Err: err})
			}
			m.watcher.Moved(old.ID.Key(), m.watched(st), !owners.Same(&old.Meta, &st.Meta))
			m.wrote(ctx, evRegenerated, st, started, attempts)
			return st, nil
		}
	}
	md := j.log.Metadata(old.Meta)
	m.abandon(ctx, st, &md, err)
	if moved {
		if err := m.owners.Drop(context.WithoutCancel(ctx), old.ID.Key(), &old.Meta); err != nil {
			m.emit(ctx, evStoreError, old.ID.Key(), time.Time{}, Event{Err: err})
		}
	}
	if owners.Over(err, &old.Meta, &md) {
		// All sessions of that kind were to be ended. Where that broke off,
		// this one is still there.
		if err := m.engine.EndInTurn(ctx, old.ID.Key(), swap.Known{Revision: old.Revision, Deadline: old.Meta.Last(), Revoked: true}); err != nil {
			m.emit(ctx, evStoreError, old.ID.Key(), time.Time{}, Event{Err: err})
		}
	}
	return nil, m.failed(ctx, key, started, err)
}

// moveAway writes "moved" over old, which has got the ID of st, and returns what it has
// replaced: another request's record, where one came between and it is time to go on in
// spite of that. Until then it returns that record without having moved.
func (m *Manager) moveAway(ctx context.Context, j *job, old, st *record.State, attempts *int) (moved bool, last *record.State, err error) {
	key := st.ID.Key()
	if err := m.moveListed(ctx, old, key, &st.Meta); err != nil {
		return false, old, err
	}
	for {
		newer, err := m.engine.Move(ctx, old, key, !owners.Same(&old.Meta, &st.Meta))
		if err != nil || newer == nil {
			return err == nil, old, err
		}
		m.conflict(ctx, old.ID.Key(), *attempts)
		old = newer
		if *attempts++; *attempts <= fights {
			return false, old, nil
		}
		// What can't be replayed must be found before there is no way back.
		if _, err := j.log.Values(old.Values); err != nil {
			return false, old, err
		}
	}
}

// regenerateHere gives a session that the client holds a new ID. There is no old
// record to be ended.
func (m *Manager) regenerateHere(ctx context.Context, j *job) (*record.State, error) {
	started := m.clock()
	base := &record.State{ID: j.id, Meta: j.held.Meta, Stale: true}
	base.Meta.Generation = max(base.Meta.Generation, 1)
	md := j.log.Metadata(j.held.Meta)
	st, here, err := m.inClient(base, md, j.values)
	if err == nil && !here {
		st, err = m.begin(ctx, base, md, j.values)
	}
	if err == nil {
		if err = m.moveListed(ctx, j.held, j.id.Key(), &st.Meta); err != nil && !here {
			m.abandon(ctx, st, &st.Meta, err)
		}
	}
	if err != nil {
		return nil, m.failed(ctx, j.id.Key(), started, err)
	}
	m.watcher.Moved(j.held.ID.Key(), m.watched(st), !owners.Same(&j.held.Meta, &st.Meta))
	m.wrote(ctx, evRegenerated, st, started, 1)
	return st, nil
}

// end ends a session: its record first, then its entry in the owner's list.
func (m *Manager) end(ctx context.Context, e *ending) error {
	started := m.clock()
	chain, err := m.endListed(ctx, e)
	if err != nil {
		if errors.Is(err, ErrEnded) {
			m.emit(ctx, evEnded, e.key, started, Event{Err: err})
		}
		return m.failed(ctx, e.key, started, err)
	}
	if m.engine != nil {
		for i := range chain { // what has moved may be on the server by now
			if i > 0 && err == nil {
				err = m.engine.End(ctx, chain[i].Key, swap.Known{Deadline: chain[i].Deadline, Client: true})
			}
		}
		if err == nil {
			err = m.engine.End(ctx, e.key, e.known)
		}
		if err == nil {
			err = m.owners.Drop(ctx, e.key, &e.meta)
		}
		if errors.Is(err, ErrEnded) {
			m.emit(ctx, evEnded, e.key, started, Event{Err: err})
		}
		if err != nil {
			return m.failed(ctx, e.key, started, err)
		}
	}
	m.watcher.Ended(e.key, ErrEnded)
	for _, c := range chain {
		m.watcher.Ended(c.Key, ErrEnded)
	}
	m.emit(ctx, evDestroyed, e.key, started, Event{})
	return nil
}

// refresh writes a session that the request did not change: its expiry is due to
// move on, or it must be sealed afresh. It is best effort. The handler's answer
// does not depend on it, another request's write is as good as this one, and a
// failure is made up for by the next request; so only a session that is gone is
// an error.
func (m *Manager) refresh(ctx context.Context, j *job) (*record.State, error) {
	started := m.clock()
	base, key := j.held, j.held.ID.Key()
	ev, wrote := evSaved, true
	st, here, err := m.inClient(base, base.Meta, base.Values)
	switch {
	case err != nil || here:
	case !base.Stale && !base.ClientHeld() && m.engine.Touches():
		ev = evTouched
		st, err = m.engine.Touch(ctx, base)
		wrote = st != base
	default:
		st, err = m.engine.Rewrite(ctx, base, func(ctx context.Context, _ *record.State) (envelope.Metadata, envelope.Values, bool, error) {
			md := base.Meta
			return md, base.Values, true, m.owners.Refile(ctx, base, &md)
		})
		wrote = st != base
	}
	switch {
	case err == nil && wrote:
		m.watcher.Used(m.watched(st))
		m.wrote(ctx, ev, st, started, 1)
		return st, nil
	case err == nil && st == base && m.cache > 0: // a copy must be of what came between
		return m.renew(ctx, j)
	case err == nil:
		return st, nil
	case errors.Is(err, ErrEnded):
		return nil, err
	}
	m.failed(ctx, key, started, err)
	return uncopied(j.held, j.sent), nil
}
