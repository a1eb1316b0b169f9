package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// With a cookie cache the server keeps the truth, and the client's token carries
// a sealed copy beside the ID: the record, its revision, its expiry, and when
// the server was asked for it. For a short time after that a request reads the
// copy and asks nobody; a change saves at the copy's revision, so a copy that is
// out of date meets a conflict and loses nothing.
//
// A copy is sealed under a domain of its own: it never passes for a record, and
// no record for a copy. It is always in Bulla's own envelope: another system's
// [serialize.Layout] may have no place for the revision.

func (m *Manager) sealCopy(id stores.ID, env serialize.Envelope) ([]byte, error) {
	bound, err := m.bind(id, m.bindings.copy)
	if err != nil {
		return nil, err
	}
	return sealed(bound, serialize.Join, env)
}

// unsealCopy opens data as a copy and splits it. data is lost.
func (m *Manager) unsealCopy(id stores.ID, data []byte) (env serialize.Envelope, retired bool, err error) {
	bound, err := m.bind(id, m.bindings.copy)
	if err != nil {
		return env, false, err
	}
	return m.opened(bound, serialize.Split, data)
}

// openCopy returns the session in tok's payload, or false where there is none
// that opens and is alive. Whether it is fresh enough is the caller's question.
func (m *Manager) openCopy(tok stores.Token) (*held, bool) {
	if m.cache == 0 || tok.Payload == "" {
		return nil, false
	}
	data, err := tok.DecodePayload()
	if err != nil {
		return nil, false
	}
	env, retired, err := m.unsealCopy(tok.ID, data)
	if err != nil || env.Revision == "" || env.Expires.IsZero() || env.Sealed.IsZero() {
		return nil, false
	}
	h := &held{
		token: tok, rev: stores.Revision(env.Revision), expires: env.Expires,
		asked: env.Sealed, copied: !retired, sent: tok.Payload,
		meta: env.Metadata, values: env.Values,
	}
	h.meta.Sealed, h.meta.Expires, h.meta.Revision = time.Time{}, time.Time{}, ""
	return h, m.expiry.live(h, now())
}

// fresh tells whether the server was asked for h no longer ago than age, as far as
// this machine's clock and that of the one that asked agree: where they differ, the
// time within which a copy is read is as long, but moved by the difference. A time in
// the future is not fresh, or the copy would be read for longer.
func fresh(h *held, age time.Duration) bool {
	since := time.Since(h.asked)
	return since >= 0 && since < age
}

// addCopy gives h's token a copy of h, unless it has no room or can't be sealed:
// what counts is on the server.
func (m *Manager) addCopy(old *held) *held {
	h := new(held)
	*h = *old
	h.copied = true
	h.token.Payload = ""
	env := serialize.Envelope{Metadata: h.meta, Values: h.values}
	env.Sealed, env.Expires, env.Revision = h.asked, h.expires, string(h.rev)
	data, err := m.sealCopy(h.token.ID, env)
	if err == nil && stores.PayloadChars(len(data)) <= m.room {
		h.token.Payload = stores.EncodePayload(data)
	}
	return h
}

// copySlack is how long after the server was asked a response may still begin
// with a copy of what was read. A later one asks again: the user may have logged
// out and in while the handler was at work, and the copy's cookie would replace
// the new login's.
const copySlack = 100 * time.Millisecond

// renew asks the server again for a session that was read a while ago, to give
// the client a copy. It is best effort: where the server fails, there is none.
func (m *Manager) renew(ctx context.Context, j *job) (*held, error) {
	h, err := m.confirm(ctx, j)
	if err == nil || errors.Is(err, ErrEnded) {
		return h, err
	}
	unchanged := *j.held
	unchanged.copied, unchanged.token.Payload = true, unchanged.sent
	return &unchanged, nil
}

// confirm asks the server whether a session that was read from a copy is still
// alive, for a handler that commits midway to be sure.
func (m *Manager) confirm(ctx context.Context, j *job) (*held, error) {
	started := m.clock()
	h, err := m.loadRecord(ctx, j.held.token)
	if _, rejected := errors.AsType[*RejectedError](err); rejected {
		return h, ErrEnded
	}
	if err != nil {
		return h, m.failed(ctx, j.held.token.ID, started, err)
	}
	h.sent = j.held.sent
	return h, nil
}
