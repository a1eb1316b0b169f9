package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// load returns the session that tok names. Where there is none the error is a
// *rejectedError, and the caller goes on with a new one: an ID that this store does
// not have is never adopted. The session of an ID that was replaced comes together
// with the error. Every other error means that nothing is known.
func (m *Manager) load(ctx context.Context, tok token.Token) (*Session, error) {
	started := m.clock()
	key := tok.ID.Key()
	st, stub, err := m.find(ctx, tok)
	listed := false
	if err == nil && stub == nil && m.revocation != nil {
		stub, err = m.revocation.seen(ctx, key, st)
		listed = stub != nil && m.revocation.sessions && (stub.Moved() || m.revocation.lists(&st.Meta))
	}
	if stub != nil {
		err = rejected(Ended, nil)
		if stub.Moved() {
			err = rejected(Replaced, nil)
		}
	}
	r, _ := errors.AsType[*rejectedError](err)
	switch {
	case err == nil:
		m.emit(ctx, evLoaded, key, started, Event{})
		st.Stale = st.Stale || m.owners.Misfiled(&st.Meta)
		return &Session{m: m, held: st, sent: tok.Payload, values: st.Values}, nil
	case r != nil && errors.Is(r, encrypt.ErrUnknownKey):
		// Of what a client holds this can be somebody's garbage. But with a wrong
		// key deployed it is every session there is, and no other sign of it.
		m.emit(ctx, evUnknownKey, key, started, Event{Reason: r.Reason, Err: r.Err})
	case r != nil:
		m.emit(ctx, evRejected, key, started, Event{Reason: r.Reason, Err: r.Err})
	case errors.Is(err, context.Canceled):
		m.emit(ctx, evGaveUp, key, started, Event{Err: err})
	default:
		m.emit(ctx, evStoreError, key, started, Event{Err: err})
	}
	if stub == nil || !stub.Moved() && !listed {
		return nil, err
	}
	// What came with the old ID can still end the session. In a list it may be about to
	// get another one: who ends the others has raised their number before.
	known := swap.Known{Loaded: now()}
	if st != nil {
		known.Deadline = st.Meta.Last()
	}
	return &Session{
		m:     m,
		moved: &ending{key: key, known: known, listed: listed},
		grace: stub.Moved() && time.Since(stub.At) < grace,
	}, err
}

// find looks where tok's session may be: in a copy, in the token, on the server.
func (m *Manager) find(ctx context.Context, tok token.Token) (*record.State, *record.Stub, error) {
	copied, ok := m.openCopy(tok)
	if ok && copied.Fresh(m.cache) {
		return copied, nil, nil
	}
	if m.place.Cookie != nil && (tok.Payload != "" || m.engine == nil) {
		st, err := m.openPayload(tok)
		return st, nil, err
	}
	falls := ok && copied.Fresh(m.fallback)
	if falls && !m.outage.ask() {
		return copied, nil, nil
	}
	st, stub, err := m.engine.Load(ctx, tok.ID, stores.MayBeStale)
	switch down := errors.Is(err, stores.ErrUnavailable); {
	case !falls:
	case down:
		m.outage.failed()
		m.emit(ctx, evStoreError, tok.ID.Key(), time.Time{}, Event{Err: err})
		return copied, nil, nil
	case ctx.Err() != nil: // a client that went away says nothing of the store
	default:
		m.outage.over()
	}
	switch {
	case errors.Is(err, swap.ErrExpired):
		err = rejected(Expired, nil)
	case errors.Is(err, stores.ErrNotFound):
		err = rejected(Unknown, nil)
	}
	return st, stub, err
}

// maxPayload is more than a browser keeps of a cookie, in characters. Net/http takes
// headers of a megabyte: who forges one shall not make the server decode it.
const maxPayload = 4096

// openPayload returns the session that the client holds. That its bytes do not open
// says nothing but that we did not seal them for this ID: the client chose them.
func (m *Manager) openPayload(tok token.Token) (*record.State, error) {
	switch {
	case tok.Payload == "":
		return nil, rejected(Unknown, nil)
	case len(tok.Payload) > maxPayload:
		return nil, rejected(Malformed, fmt.Errorf("%w: %d characters", stores.ErrMalformed, len(tok.Payload)))
	}
	var binding []byte
	if m.place.Signed {
		binding = m.sealer.SignedBinding(tok.ID)
	}
	data, stale, err := m.place.Cookie.Decode(tok.Payload, binding)
	if errors.Is(err, stores.ErrMalformed) {
		return nil, rejected(Malformed, err)
	}
	if err != nil {
		return nil, rejected(Tampered, err)
	}
	bound, err := m.sealer.Bind(record.Client, tok.ID)
	if err != nil {
		return nil, err
	}
	env, retired, err := m.sealer.Open(bound, record.Client, data)
	switch {
	case errors.Is(err, record.ErrSplit):
		// A later version's, in a rolling deployment: it must not be replaced.
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	case err != nil:
		return nil, rejected(Tampered, err)
	}
	moment := now()
	st := &record.State{ID: tok.ID, Meta: env.Metadata, Values: env.Values, Payload: tok.Payload, Asked: moment, Bound: bound}
	expires, changed, live := m.policy.Live(moment, time.Time{}, &st.Meta)
	if !live {
		return nil, rejected(Expired, nil)
	}
	st.Expires, st.Stale = expires, stale || retired || changed
	return st, nil
}
