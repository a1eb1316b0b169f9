package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Load returns the live session that tok names. Where there is none the error is
// a [*RejectedError], and the caller goes on with [Manager.New]: an ID that this
// store does not have is never adopted. Every other error means that nothing is
// known: [stores.ErrUnavailable], or [ErrUnreadable] for a record that the store
// has but that does not open.
func (m *Manager) Load(ctx context.Context, tok stores.Token) (*Session, error) {
	started := m.clock()
	loaded := new(struct { // one allocation
		session Session
		held    held
	})
	if err := m.load(ctx, tok, &loaded.held); err != nil {
		m.loadFailed(ctx, tok, started, err)
		return nil, err
	}
	s := &loaded.session
	s.m, s.held, s.values, s.shared = m, &loaded.held, loaded.held.values, true
	m.emit(ctx, evLoaded, tok.ID, started, Event{})
	return s, nil
}

func (m *Manager) loadFailed(ctx context.Context, tok stores.Token, started time.Time, err error) {
	var r *RejectedError
	if errors.As(err, &r) {
		m.emit(ctx, evRejected, tok.ID, started, Event{Reason: r.Reason, Err: r.Err})
	} else {
		m.emit(ctx, evStoreError, tok.ID, started, Event{Err: err})
	}
}

// load reads the session that tok names into h.
func (m *Manager) load(ctx context.Context, tok stores.Token, h *held) error {
	copied, ok := m.openCopy(tok)
	if ok && fresh(copied, m.cache) {
		*h = *copied
		return nil
	}
	err := m.loadRecord(ctx, tok, h)
	if ok && errors.Is(err, stores.ErrUnavailable) && fresh(copied, m.fallback) {
		m.emit(ctx, evStoreError, tok.ID, time.Time{}, Event{Err: err})
		*h = *copied
		return nil
	}
	return err
}

// loadRecord asks the store, and reads what it has into h.
func (m *Manager) loadRecord(ctx context.Context, tok stores.Token, h *held) error {
	asked := now()
	tok = m.token(tok)
	rec, err := m.store.Load(ctx, tok)
	switch {
	case err == nil:
	case errors.Is(err, stores.ErrNotFound):
		return rejected(Unknown, nil)
	case errors.Is(err, stores.ErrMalformed):
		return rejected(Malformed, err)
	case errors.Is(err, stores.ErrTampered):
		return rejected(Tampered, err)
	default:
		return err
	}
	h.token, h.rev, h.expires, h.stale, h.asked, h.sent = tok, rec.Revision, rec.Expires, rec.Stale, asked, tok.Payload
	domain := m.bindings.server
	if h.clientHeld() {
		domain = m.bindings.client
	}
	if h.bound, err = m.sealer(tok.ID, domain); err != nil {
		return err
	}
	env, retired, err := m.open(h.bound, rec.Data)
	switch {
	case err != nil && h.clientHeld():
		// The client chose these bytes. That they do not open says nothing
		// but that we did not seal them for this ID.
		return rejected(Tampered, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	h.meta, h.values = env.Metadata, env.Values
	h.stale = h.stale || retired || m.misfiled(h.meta)
	if !h.clientHeld() {
		h.token.Payload = "" // at most a copy: the record is on the server
	}
	moment := asked
	if !m.info.NoIO {
		moment = now() // it may have ended while the store was asked
	}
	if !m.expiry.live(h, moment) {
		return rejected(Expired, nil)
	}
	return nil
}
