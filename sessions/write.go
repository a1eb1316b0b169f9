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

// put seals base's metadata with vals and saves it at revision rev under tok.
func (m *Manager) put(ctx context.Context, base held, tok stores.Token, rev stores.Revision, vals values) (held, error) {
	now := now()
	env := serialize.Envelope{Metadata: base.meta, Values: vals}
	env.Generation++
	env.Idle = m.expiry.idle
	expires := base.expires
	if base.stale || base.clientHeld() || m.expiry.due(now, expires, env.Deadline) {
		expires = m.expiry.expires(now, env.Deadline)
	}
	if !expires.After(now) {
		return held{}, fmt.Errorf("%w: it expired during the request", ErrEnded)
	}

	room := m.room
	if base.exists() && !base.clientHeld() {
		room = 0 // once on the server, it stays there
	}
	var data []byte
	var err error
	client := false
	if m.holder != nil && room > 0 {
		env.Sealed = now
		if data, err = m.seal(tok.ID, m.bindings.client, env); err != nil {
			return held{}, err
		}
		client = m.holder.ClientHolds(tok, rev, len(data), room)
	}
	if !client {
		env.Sealed = time.Time{}
		if data, err = m.seal(tok.ID, m.bindings.server, env); err != nil {
			return held{}, err
		}
	}
	tok, rev, err = m.store.Save(ctx, m.token(tok), stores.Record{Data: data, Expires: expires, Revision: rev, Room: room})
	if err != nil {
		return held{}, err
	}
	return held{token: tok, rev: rev, expires: expires, asked: now, sent: base.sent, meta: env.Metadata, values: vals}, nil
}

// failed reports what is a failure of the store, and passes err on.
func (m *Manager) failed(ctx context.Context, id stores.ID, started time.Time, err error) error {
	if !errors.Is(err, ErrEnded) {
		m.emit(ctx, evStoreError, id, started, Event{Err: err})
	}
	return err
}

func (m *Manager) create(ctx context.Context, j job) (held, error) {
	started := time.Now()
	base := held{meta: serialize.Metadata{Created: j.began, Deadline: m.expiry.deadline(j.began)}}
	h, err := m.put(ctx, base, stores.Token{ID: j.id}, "", j.values)
	if err != nil {
		return h, m.failed(ctx, j.id, started, err)
	}
	m.emit(ctx, evCreated, j.id, started, Event{Attempts: 1})
	return h, nil
}

func (m *Manager) save(ctx context.Context, j job) (held, error) {
	started := time.Now()
	base, vals := j.held, j.values
	id := base.token.ID
	retry := m.retry(id)
	defer func() { retry.leave() }()
	for {
		h, err := m.put(ctx, base, base.token, base.rev, vals)
		switch {
		case err == nil:
			m.emit(ctx, evSaved, id, started, Event{Attempts: retry.attempts + 1})
			return h, nil
		case errors.Is(err, stores.ErrNotFound):
			return h, ErrEnded
		case !errors.Is(err, stores.ErrConflict):
			return h, m.failed(ctx, id, started, err)
		}
		if base, vals, err = retry.again(ctx, base.token, base.sent, j.log); err != nil {
			return h, m.failed(ctx, id, started, err)
		}
		if vals.equal(base.values) { // the other request did the same
			return base, nil
		}
	}
}

// regenerate saves the session under its new ID and then deletes the old record
// at the revision that was read: in this order, so that a failure between the
// two loses nothing, and at that revision, so that neither another request's
// change is lost nor its logout undone.
func (m *Manager) regenerate(ctx context.Context, j job) (held, error) {
	started := time.Now()
	base, vals := j.held, j.values
	tok, rev := stores.Token{ID: j.id}, stores.Revision("")
	retry := m.retry(base.token.ID)
	defer func() { retry.leave() }()
	for {
		h, err := m.put(ctx, base, tok, rev, vals)
		if err == nil {
			tok, rev = h.token, h.rev
			if !base.clientHeld() {
				err = m.store.Delete(ctx, m.token(base.token), base.rev)
			}
		}
		if err == nil {
			m.emit(ctx, evRegenerated, j.id, started, Event{Attempts: retry.attempts + 1})
			return h, nil
		}
		if errors.Is(err, stores.ErrConflict) {
			base, vals, err = retry.again(ctx, base.token, base.sent, j.log)
		}
		if errors.Is(err, stores.ErrNotFound) {
			err = ErrEnded
		}
		if err != nil {
			m.cleanup(ctx, tok, rev)
			return held{}, m.failed(ctx, j.id, started, err)
		}
	}
}

// cleanup removes a record whose ID no client will be given.
func (m *Manager) cleanup(ctx context.Context, tok stores.Token, rev stores.Revision) {
	if rev == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := m.store.Delete(ctx, m.token(tok), ""); err != nil {
		m.emit(ctx, evStoreError, tok.ID, time.Time{}, Event{Err: err})
	}
}

// refresh writes a session that the request did not change: its expiry is due to
// move on, or it must be sealed afresh. It is best effort. The handler's answer
// does not depend on it, another request's write is as good as this one, and a
// failure is made up for by the next request; so only a session that is gone is
// an error.
func (m *Manager) refresh(ctx context.Context, j job) (held, error) {
	started := time.Now()
	h, id := j.held, j.held.token.ID
	ev, err := evSaved, error(nil)
	if m.toucher == nil || h.stale || h.clientHeld() {
		h, err = m.put(ctx, h, h.token, h.rev, h.values)
	} else {
		ev = evTouched
		asked := now()
		expires := m.expiry.expires(asked, h.meta.Deadline)
		var rev stores.Revision
		if rev, err = m.toucher.Touch(ctx, m.token(h.token), h.rev, expires); err == nil {
			h.rev, h.expires, h.asked, h.copied = rev, expires, asked, false
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
		m.emit(ctx, evStoreError, id, started, Event{Err: err})
	}
	return j.held, nil
}

// retry carries one commit through its conflicts.
type retry struct {
	m        *Manager
	id       stores.ID
	attempts int // that met a conflict
	leave    func()
}

func (m *Manager) retry(id stores.ID) *retry { return &retry{m: m, id: id, leave: func() {}} }

// again waits for a good moment, loads the newer record and replays the log on
// it. After the first conflict requests of one session queue within this
// process; further conflicts come from other processes, and are spread by a
// random pause.
func (r *retry) again(ctx context.Context, tok stores.Token, sent string, log []logged) (held, values, error) {
	r.attempts++
	r.m.emit(ctx, evConflict, r.id, time.Time{}, Event{Attempts: r.attempts})
	busy := func() error { return fmt.Errorf("%w: %d attempts within %v", ErrBusy, r.attempts, r.m.timeout) }
	if r.attempts == 1 {
		leave, err := r.m.queue.enter(ctx, r.id.Key())
		if err != nil {
			return held{}, nil, busy()
		}
		r.leave = leave
	} else {
		pause := time.NewTimer(rand.N(time.Millisecond << min(r.attempts, 6)))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return held{}, nil, busy()
		}
	}
	tok.Payload = "" // a hybrid store has moved the record to the server
	newer, err := r.m.loadRecord(ctx, tok)
	if rejected := (*RejectedError)(nil); errors.As(err, &rejected) {
		return held{}, nil, ErrEnded
	}
	if err != nil {
		return held{}, nil, err
	}
	vals, err := replay(newer.values, log)
	newer.sent = sent
	return newer, vals, err
}
