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
	h, err := m.load(ctx, tok)
	if err != nil {
		var r *RejectedError
		if errors.As(err, &r) {
			m.emit(ctx, evRejected, tok.ID, started, Event{Reason: r.Reason, Err: r.Err})
		} else {
			m.emit(ctx, evStoreError, tok.ID, started, Event{Err: err})
		}
		return nil, err
	}
	m.emit(ctx, evLoaded, tok.ID, started, Event{})
	return &Session{m: m, held: h, values: h.values, shared: true}, nil
}

func (m *Manager) load(ctx context.Context, tok stores.Token) (held, error) {
	copied, ok := m.openCopy(tok)
	if ok && fresh(copied, m.cache) {
		return copied, nil
	}
	h, err := m.loadRecord(ctx, tok)
	if ok && errors.Is(err, stores.ErrUnavailable) && fresh(copied, m.fallback) {
		m.emit(ctx, evStoreError, tok.ID, time.Time{}, Event{Err: err})
		return copied, nil
	}
	return h, err
}

// loadRecord asks the store.
func (m *Manager) loadRecord(ctx context.Context, tok stores.Token) (held, error) {
	asked := now()
	tok = m.token(tok)
	rec, err := m.store.Load(ctx, tok)
	switch {
	case errors.Is(err, stores.ErrNotFound):
		return held{}, rejected(Unknown, nil)
	case errors.Is(err, stores.ErrMalformed):
		return held{}, rejected(Malformed, err)
	case errors.Is(err, stores.ErrTampered):
		return held{}, rejected(Tampered, err)
	case err != nil:
		return held{}, err
	}
	h := held{token: tok, rev: rec.Revision, expires: rec.Expires, stale: rec.Stale, asked: asked, sent: tok.Payload}
	domain := m.bindings.server
	if h.clientHeld() {
		domain = m.bindings.client
	}
	env, retired, err := m.open(tok.ID, domain, rec.Data)
	switch {
	case err != nil && h.clientHeld():
		// The client chose these bytes. That they do not open says nothing
		// but that we did not seal them for this ID.
		return held{}, rejected(Tampered, err)
	case err != nil:
		return held{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	h.meta, h.values = env.Metadata, env.Values
	h.stale = h.stale || retired || m.misfiled(h.meta)
	if !h.clientHeld() {
		h.token.Payload = "" // at most a copy: the record is on the server
	}
	if !m.expiry.live(&h, now()) {
		return held{}, rejected(Expired, nil)
	}
	return h, nil
}
