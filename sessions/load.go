package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/encrypt"
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
		m.loadFailed(ctx, tok, started, err)
		return nil, err
	}
	m.emit(ctx, evLoaded, tok.ID, started, Event{})
	return &Session{m: m, held: h, values: h.values}, nil
}

func (m *Manager) loadFailed(ctx context.Context, tok stores.Token, started time.Time, err error) {
	r, ok := errors.AsType[*RejectedError](err)
	switch {
	case !ok:
		m.emit(ctx, evStoreError, tok.ID, started, Event{Err: err})
	case errors.Is(r, encrypt.ErrUnknownKey):
		// Of what a client holds this can be somebody's garbage. But with a wrong
		// key deployed it is every session there is, and no other sign of it.
		m.emit(ctx, evUnknownKey, tok.ID, started, Event{Reason: r.Reason, Err: r.Err})
	default:
		m.emit(ctx, evRejected, tok.ID, started, Event{Reason: r.Reason, Err: r.Err})
	}
}

func (m *Manager) load(ctx context.Context, tok stores.Token) (*held, error) {
	copied, ok := m.openCopy(tok)
	if ok && fresh(copied, m.cache) {
		return copied, nil
	}
	if !ok || !fresh(copied, m.fallback) {
		return m.loadRecord(ctx, tok)
	}
	if !m.outage.ask() {
		return copied, nil
	}
	h, err := m.loadRecord(ctx, tok)
	if errors.Is(err, stores.ErrUnavailable) {
		m.outage.failed()
		m.emit(ctx, evStoreError, tok.ID, time.Time{}, Event{Err: err})
		return copied, nil
	}
	m.outage.over()
	return h, err
}

// loadRecord asks the store.
func (m *Manager) loadRecord(ctx context.Context, tok stores.Token) (*held, error) {
	asked := now()
	tok = m.token(tok)
	rec, err := m.store.Load(ctx, tok)
	switch {
	case err == nil:
	case errors.Is(err, stores.ErrNotFound):
		return nil, rejected(Unknown, nil)
	case errors.Is(err, stores.ErrMalformed):
		return nil, rejected(Malformed, err)
	case errors.Is(err, stores.ErrTampered):
		return nil, rejected(Tampered, err)
	default:
		return nil, err
	}
	client := rec.Revision == "" // see held.clientHeld
	domain := m.bindings.server
	if client {
		domain = m.bindings.client
	}
	bound, err := m.bind(tok.ID, domain)
	if err != nil {
		return nil, err
	}
	env, retired, err := m.open(bound, rec.Data)
	switch {
	case err != nil && client && !errors.Is(err, errSplit):
		// The client chose these bytes. That they do not open says nothing
		// but that we did not seal them for this ID. What opens and then
		// does not split is ours, of a later version perhaps.
		return nil, rejected(Tampered, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	h := &held{
		token: tok, rev: rec.Revision, expires: rec.Expires, bound: bound,
		asked: asked, sent: tok.Payload, meta: env.Metadata, values: env.Values,
		refile: m.misfiled(env.Metadata) || retired && m.owned(env.Metadata),
	}
	h.stale = rec.Stale || retired || h.refile
	if !client {
		h.token.Payload = "" // at most a copy: the record is on the server
	}
	moment := asked
	if !m.info.NoIO {
		moment = now() // it may have ended while the store was asked
	}
	if !m.expiry.live(h, moment) {
		return nil, rejected(Expired, nil)
	}
	return h, nil
}
