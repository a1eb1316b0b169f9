package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// With a cookie cache the server keeps the truth, and the client's token carries
// a sealed copy beside the ID: the record, its revision, its expiry, and when
// the server was asked for it. For a short time after that a request reads the
// copy and asks nobody; a change saves at the copy's revision, so a copy that is
// out of date meets a conflict and loses nothing.
//
// A copy is sealed under a domain of its own: it never passes for a record, and
// no record for a copy.

const (
	// maxCookieCache bounds how long an end may be overlooked.
	maxCookieCache = time.Hour

	// copySlack is how long after the server was asked a response may still
	// begin with a copy of what was read. A later one asks again: the user may
	// have logged out and in while the handler was at work, and the copy's
	// cookie would replace the new login's.
	copySlack = 100 * time.Millisecond
)

func (m *Manager) setCache(c Config) error {
	m.cache, m.fallback = c.CookieCache, c.CookieCacheFallback
	most := m.policy.Lifetime
	if m.policy.Idle > 0 {
		most = m.policy.Idle
	}
	switch {
	case m.cache < 0 || m.fallback < 0:
		return fmt.Errorf("%w: WithCookieCache and WithCookieCacheFallback take times that are not negative; leave them out for no cache", ErrConfig)
	case m.cache > maxCookieCache:
		return fmt.Errorf("%w: WithCookieCache(%v) is over an hour, and an ended session could be read for as long; shorten it", ErrConfig, m.cache)
	case m.cache == 0 && m.fallback > 0:
		return fmt.Errorf("%w: WithCookieCacheFallback has no copies to fall back on; add WithCookieCache", ErrConfig)
	case m.fallback > 0 && m.fallback < m.cache:
		return fmt.Errorf("%w: WithCookieCacheFallback(%v) is shorter than WithCookieCache(%v); lengthen it", ErrConfig, m.fallback, m.cache)
	case m.fallback > most:
		return fmt.Errorf("%w: WithCookieCacheFallback(%v) is longer than a session lives unused (%v); shorten it", ErrConfig, m.fallback, most)
	case m.cache > 0 && m.place.Cookie != nil:
		return fmt.Errorf("%w: WithCookieCache needs a store that keeps its records on a server; the %s store has them in the cookie already", ErrConfig, m.place.Name)
	case m.cache > 0 && !m.sealer.Encrypts():
		return fmt.Errorf("%w: WithCookieCache puts a copy of the session into the cookie; add WithEncryptor", ErrConfig)
	}
	return nil
}

// openCopy returns the session in tok's payload, or false where there is none
// that opens and is alive. Whether it is fresh enough is the caller's question.
func (m *Manager) openCopy(tok token.Token) (*record.State, bool) {
	if m.cache == 0 || tok.Payload == "" || len(tok.Payload) > maxPayload {
		return nil, false
	}
	data, err := payload.Decode(tok.Payload)
	if err != nil {
		return nil, false
	}
	bound, err := m.sealer.Bind(record.Copy, tok.ID)
	if err != nil {
		return nil, false
	}
	env, retired, err := m.sealer.Open(bound, record.Copy, data)
	if err != nil || env.Revision == "" || env.Expires.IsZero() || env.Sealed.IsZero() {
		return nil, false
	}
	st := &record.State{
		ID: tok.ID, Revision: stores.Revision(env.Revision), Asked: env.Sealed,
		Meta: env.Metadata, Values: env.Values, Copied: !retired, Payload: tok.Payload,
	}
	st.Meta.Sealed, st.Meta.Expires, st.Meta.Revision = time.Time{}, time.Time{}, ""
	expires, changed, live := m.policy.Live(now(), env.Expires, &st.Meta)
	st.Expires, st.Stale = expires, changed
	return st, live
}

// addCopy gives st a copy of itself for the token, unless there is no room or it
// can't be sealed: what counts is on the server.
func (m *Manager) addCopy(st *record.State) *record.State {
	copied := *st
	copied.Copied, copied.Payload = true, ""
	env := envelope.Envelope{Metadata: st.Meta, Values: st.Values}
	env.Sealed, env.Expires, env.Revision = st.Asked, st.Expires, string(st.Revision)
	bound, err := m.sealer.Bind(record.Copy, st.ID)
	if err != nil {
		return &copied
	}
	data, err := m.sealer.Seal(bound, record.Copy, env)
	if err == nil && payload.Chars(len(data)) <= m.room {
		copied.Payload = payload.Encode(data)
	}
	return &copied
}

// outlived tells whether st is a copy of a session of which the server has nothing left,
// as err says. It ended longer ago than a stub stays, so no other request of the client's
// can have replaced the token meanwhile; and who keeps the copy is shown a session, can't
// log out of it, and can't log in, until the copy is too old.
func outlived(st *record.State, err error) bool {
	return st.Exists() && st.Copied && st.Payload != "" && errors.Is(err, swap.ErrGone)
}

// renew asks the server again for a session that was read a while ago, to give
// the client a copy. It is best effort: where the server fails, there is none.
func (m *Manager) renew(ctx context.Context, j *job) (*record.State, error) {
	st, err := m.confirm(ctx, j.held)
	if err == nil || errors.Is(err, ErrEnded) {
		return st, err
	}
	return uncopied(j.held, j.sent), nil // nobody knows whether it is still so
}

// uncopied returns st, of which the client gets no other copy than it was sent. What the
// client holds is itself, and no copy of which a server could be asked.
func uncopied(st *record.State, sent string) *record.State {
	same := *st
	same.Copied, same.Payload = !st.ClientHeld(), sent
	return &same
}

// confirm asks the server whether a session that was read from a copy is still
// alive, for a handler that commits midway to be sure.
func (m *Manager) confirm(ctx context.Context, held *record.State) (*record.State, error) {
	started := m.clock()
	st, stub, err := m.engine.Load(ctx, held.ID, stores.Fresh)
	switch {
	case stub != nil:
		return nil, ErrEnded
	case errors.Is(err, stores.ErrNotFound):
		return nil, swap.ErrGone
	}
	if err != nil {
		return nil, m.failed(ctx, held.ID.Key(), started, err)
	}
	return st, nil
}
