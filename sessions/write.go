package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// cleanupTimeout bounds the removal of a record that nobody will hold, when the
// commit's own time may be over.
const cleanupTimeout = 2 * time.Second

// put seals base's metadata, edited, with vals and saves it at revision rev under
// tok.
func (m *Manager) put(ctx context.Context, base *held, tok stores.Token, rev stores.Revision, vals serialize.Values, edits []edit) (*held, error) {
	now := now()
	env := serialize.Envelope{Metadata: edited(base.meta, edits), Values: vals}
	env.Generation++
	env.Idle = m.expiry.idle
	expires := base.expires
	if base.stale || base.clientHeld() || m.expiry.due(now, expires, env.Deadline) {
		expires = m.expiry.expires(now, env.Deadline)
	}
	if !expires.After(now) {
		return nil, fmt.Errorf("%w: it expired during the request", ErrEnded)
	}

	room := m.room
	if !base.clientHeld() {
		room = 0 // once on the server, it stays there
	}
	var data []byte
	var err error
	client := false
	if m.holder != nil && room > 0 {
		env.Sealed = now
		if data, err = m.sealLike(base, tok.ID, true, env); err != nil {
			return nil, err
		}
		client = m.holder.ClientHolds(tok, rev, len(data), room)
	}
	if !client {
		room = 0 // sealed for the server it may be small enough for the token
		env.Sealed = time.Time{}
		if data, err = m.sealLike(base, tok.ID, false, env); err != nil {
			return nil, err
		}
	}
	tok, rev, err = m.store.Save(ctx, m.token(tok), stores.Record{
		Data: data, Expires: expires, Revision: rev, Room: room,
		Successor: rev == "" && !base.clientHeld(),
	})
	if err != nil {
		return nil, doubt(ctx, err)
	}
	return &held{token: tok, rev: rev, expires: expires, asked: now, sent: base.sent, meta: env.Metadata, values: vals}, nil
}

// sealLike seals a record for the client or the server, with the key that base
// was opened with where it takes the same place.
func (m *Manager) sealLike(base *held, id stores.ID, client bool, env serialize.Envelope) ([]byte, error) {
	if base.bound != nil && base.clientHeld() == client && base.token.ID.Equal(id) {
		return m.seal(base.bound, env)
	}
	domain := m.bindings.server
	if client {
		domain = m.bindings.client
	}
	return m.sealAs(id, domain, env)
}

// doubt returns the error of a store's write. What is not known to mean "not
// written" is [stores.ErrUnavailable], also from a store that forgets to say so.
func doubt(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) { // see overdue
		return err
	}
	for _, known := range []error{
		stores.ErrUnavailable, stores.ErrNotFound, stores.ErrExists, stores.ErrConflict, stores.ErrTooLarge, stores.ErrInvalidRecord,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
}

// failed reports why nothing was written, unless the session was ended, and
// passes err on.
func (m *Manager) failed(ctx context.Context, id stores.ID, started time.Time, err error) error {
	switch {
	case errors.Is(err, ErrEnded):
	case errors.Is(err, stores.ErrTooLarge) || errors.Is(err, ErrTooManySessions):
		m.emit(ctx, evRefused, id, started, Event{Err: err})
	default:
		m.emit(ctx, evStoreError, id, started, Event{Err: err})
	}
	return err
}

func (m *Manager) create(ctx context.Context, j *job) (*held, error) {
	started := m.clock()
	base := &held{meta: serialize.Metadata{Created: j.began, Deadline: m.expiry.deadline(j.began)}}
	meta := edited(base.meta, j.edits)
	tok, rev := stores.Token{ID: j.id}, stores.Revision("")
	key := j.id.Key()
	var h *held
	err := m.file(ctx, key, stores.Key{}, meta, now())
	if err == nil {
		err = m.refuse(ctx, key, base.meta, meta)
	}
	if err == nil {
		h, err = m.put(ctx, base, tok, rev, j.values, j.edits)
	}
	if err == nil {
		tok, rev = h.token, h.rev
		err = m.confirmEpoch(ctx, meta)
	}
	if err == nil {
		err = m.endOldest(ctx, key, meta)
	}
	if err != nil {
		m.cleanup(ctx, tok, rev, meta)
		return nil, m.failed(ctx, j.id, started, err)
	}
	m.emit(ctx, evCreated, j.id, started, Event{Attempts: 1})
	return h, nil
}

func (m *Manager) save(ctx context.Context, j *job) (*held, error) {
	started := m.clock()
	base, vals := j.held, j.values
	id := base.token.ID
	retry := m.retry(id)
	defer func() { retry.leave() }()
	for {
		var h *held
		edits, err := m.refile(ctx, base, j.edits)
		if err == nil {
			h, err = m.put(ctx, base, base.token, base.rev, vals, edits)
		}
		switch {
		case err == nil:
			m.emit(ctx, evSaved, id, started, Event{Attempts: retry.attempts + 1})
			return h, nil
		case errors.Is(err, stores.ErrNotFound), errors.Is(err, ErrEnded):
			return h, ErrEnded
		case !errors.Is(err, stores.ErrConflict):
			return h, m.failed(ctx, id, started, err)
		}
		if base, vals, err = retry.again(ctx, base.token, base.sent, j.log); err != nil {
			return h, m.failed(ctx, id, started, err)
		}
		if len(j.edits) == 0 && vals.Equal(base.values) { // the other request did the same
			return base, nil
		}
	}
}

// regenerate saves the session under its new ID and then deletes the old record
// at the revision that was read: in this order, so that a failure between the
// two loses nothing (but for a delete that is carried out while its reply is lost:
// docs/architecture.md), and at that revision, so that neither another request's
// change is lost nor its logout undone.
func (m *Manager) regenerate(ctx context.Context, j *job) (*held, error) {
	started := m.clock()
	base, vals := j.held, j.values
	tok, rev, login := stores.Token{ID: j.id}, stores.Revision(""), now()
	retry := m.retry(base.token.ID)
	defer func() { retry.leave() }()
	for {
		meta := edited(base.meta, j.edits)
		h, err := m.renamed(ctx, base, tok, rev, login, vals, j.edits)
		if h != nil {
			tok, rev = h.token, h.rev
		}
		if err == nil && !base.clientHeld() {
			err = m.end(ctx, base.token, base.rev, base.meta)
		}
		if err == nil {
			m.forget(ctx, base)
			// Not before the old record is gone: until then the session may end
			// elsewhere, and must not have ended others for nothing.
			if sameOwner(base.meta, meta) {
				err = m.endOldest(ctx, j.id.Key(), meta)
			}
			if err != nil && !errors.Is(err, ErrEnded) { // there is no session more than there was
				m.emit(ctx, evStoreError, j.id, started, Event{Err: err})
				err = nil
			}
		}
		if err == nil {
			m.emit(ctx, evRegenerated, j.id, started, Event{Attempts: retry.attempts + 1})
			return h, nil
		}
		if errors.Is(err, stores.ErrConflict) {
			if base, vals, err = retry.again(ctx, base.token, base.sent, j.log); err == nil {
				continue
			}
		}
		if errors.Is(err, stores.ErrNotFound) {
			err = ErrEnded
		}
		m.cleanup(ctx, tok, rev, meta)
		return nil, m.failed(ctx, j.id, started, err)
	}
}

// renamed writes base, with vals and edits, as what tok will name: the entry, which
// RevokeOthers may have taken away since the last try, and the record. It returns
// the record also where the session must not live on under the new ID.
func (m *Manager) renamed(ctx context.Context, base *held, tok stores.Token, rev stores.Revision, login time.Time, vals serialize.Values, edits []edit) (*held, error) {
	key, meta := tok.ID.Key(), edited(base.meta, edits)
	if err := m.file(ctx, key, base.token.ID.Key(), meta, login); err != nil {
		return nil, err
	}
	if err := m.refuse(ctx, key, base.meta, meta); err != nil {
		return nil, err
	}
	h, err := m.put(ctx, base, tok, rev, vals, edits)
	if err != nil {
		return nil, err
	}
	err = m.confirmEpoch(ctx, meta)
	switch same := sameOwner(base.meta, meta); {
	case same && errors.Is(err, ErrEnded):
		err = m.finish(ctx, base)
	case !same && err == nil:
		err = m.endOldest(ctx, key, meta)
	}
	return h, err
}

// forget removes the entry of an owned session whose record is gone. An entry
// without a record shows nothing and goes by itself, so a failure is only reported.
func (m *Manager) forget(ctx context.Context, h *held) {
	w, ok := parseOwnership(h.meta.Owner)
	if !ok || m.owners == nil {
		return
	}
	if err := m.unfile(ctx, w.user, h.token.ID.Key()); err != nil {
		m.emit(ctx, evStoreError, h.token.ID, time.Time{}, Event{Err: err})
	}
}

// endSession ends the session that was read as h, whatever was written to it since.
// Where it is gone it has ended, or it goes on under a new ID. The list of its owner
// tells which, and it is ended there; otherwise nobody can tell: [ErrEnded].
func (m *Manager) endSession(ctx context.Context, h *held) error {
	err := m.end(ctx, h.token, h.rev, h.meta)
	// It does not queue with the requests that save: it must not come after one
	// that changes the ID.
	for until := time.Now().Add(m.timeout); errors.Is(err, stores.ErrConflict); {
		if !time.Now().Before(until) {
			return fmt.Errorf("%w: it was not ended within %v", ErrBusy, m.timeout)
		}
		var rec stores.Record
		if rec, err = m.store.Load(ctx, m.token(h.token)); err == nil {
			err = m.end(ctx, h.token, rec.Revision, h.meta)
		}
	}
	gone := errors.Is(err, stores.ErrNotFound)
	if err != nil && !gone {
		return err
	}
	m.forget(ctx, h)
	if !gone {
		return nil
	}
	if w, ok := parseOwnership(h.meta.Owner); ok && m.owners != nil {
		ended, err := m.endListed(ctx, w.user, h.token.ID.Key().String())
		if err != nil || ended {
			return err
		}
	}
	if h.perhaps {
		return nil // by an earlier commit, whose reply was lost
	}
	return ErrEnded
}

// remove removes a record, and what the index has of it.
func (m *Manager) remove(ctx context.Context, tok stores.Token, meta serialize.Metadata) error {
	if w, ok := parseOwnership(meta.Owner); ok && m.owners != nil {
		return doubt(ctx, m.unfile(ctx, w.user, tok.ID.Key()))
	}
	return m.end(ctx, tok, "", meta)
}

// end deletes a record, for good where the store could get it back from a client.
func (m *Manager) end(ctx context.Context, tok stores.Token, rev stores.Revision, meta serialize.Metadata) error {
	if m.ender != nil {
		return doubt(ctx, m.ender.End(ctx, m.token(tok), rev, meta.Deadline))
	}
	return doubt(ctx, m.store.Delete(ctx, m.token(tok), rev))
}

// cleanup removes a record whose ID no client will be given. Where there is no
// revision there is no record, but there may be an entry of it.
func (m *Manager) cleanup(ctx context.Context, tok stores.Token, rev stores.Revision, meta serialize.Metadata) {
	if rev == "" && meta.Owner == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := m.remove(ctx, tok, meta); err != nil {
		m.emit(ctx, evStoreError, tok.ID, time.Time{}, Event{Err: err})
	}
}

// refresh writes a session that the request did not change: its expiry is due to
// move on, or it must be sealed afresh. It is best effort. The handler's answer
// does not depend on it, another request's write is as good as this one, and a
// failure is made up for by the next request; so only a session that is gone is
// an error.
func (m *Manager) refresh(ctx context.Context, j *job) (*held, error) {
	started := m.clock()
	h, id := j.held, j.held.token.ID
	ev, err := evSaved, error(nil)
	if m.toucher == nil || h.stale || h.clientHeld() {
		var edits []edit
		if edits, err = m.refile(ctx, h, nil); err == nil {
			h, err = m.put(ctx, h, h.token, h.rev, h.values, edits)
		}
	} else {
		ev = evTouched
		asked := now()
		expires := m.expiry.expires(asked, h.meta.Deadline)
		var rev stores.Revision
		if rev, err = m.toucher.Touch(ctx, m.token(h.token), h.rev, expires); err == nil {
			touched := *h
			touched.rev, touched.expires, touched.asked, touched.copied = rev, expires, asked, false
			h = &touched
		}
	}
	switch {
	case err == nil:
		m.emit(ctx, ev, id, started, Event{Attempts: 1})
		return h, nil
	case errors.Is(err, stores.ErrNotFound):
		return j.held, ErrEnded
	case errors.Is(err, ErrEnded):
		return j.held, err
	case !errors.Is(err, stores.ErrConflict):
		m.failed(ctx, id, started, err)
	}
	return j.held, nil
}

// retry carries one commit through its conflicts.
type retry struct {
	m        *Manager
	id       stores.ID
	attempts int // that met a conflict
	leave    func()
	until    time.Time // of the waiting
}

func (m *Manager) retry(id stores.ID) *retry { return &retry{m: m, id: id, leave: func() {}} }

// again waits for a good moment, loads the newer record and replays the log on
// it. After the first conflict requests of one session queue within this
// process; further conflicts come from other processes, and are spread by a
// random pause.
func (r *retry) again(ctx context.Context, tok stores.Token, sent string, log []logged) (*held, serialize.Values, error) {
	r.attempts++
	r.m.emit(ctx, evConflict, r.id, time.Time{}, Event{Attempts: r.attempts})
	// Where no call can wait, the commit has no time limit; waiting has.
	if r.attempts == 1 {
		r.until = time.Now().Add(r.m.timeout)
	}
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	busy := func() error { return fmt.Errorf("%w: %d attempts within %v", ErrBusy, r.attempts, r.m.timeout) }
	if r.attempts == 1 {
		leave, err := r.m.queue.enter(ctx, r.id.Key())
		if err != nil {
			return nil, serialize.Values{}, busy()
		}
		r.leave = leave
	} else {
		pause := time.NewTimer(rand.N(time.Millisecond << min(r.attempts, 6)))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, serialize.Values{}, busy()
		}
	}
	tok.Payload = "" // a hybrid store has moved the record to the server
	newer, err := r.m.loadRecord(ctx, tok)
	if _, rejected := errors.AsType[*RejectedError](err); rejected {
		return nil, serialize.Values{}, ErrEnded
	}
	if err != nil {
		return nil, serialize.Values{}, err
	}
	vals, err := replay(newer.values, log)
	newer.sent = sent
	return newer, vals, err
}
