package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// Inspection is an opened record. It holds the session's plain content.
type Inspection struct {
	Kind     string // "record on a server", "record in a cookie", "record in a signed cookie" or "copy in a cookie"
	Retired  bool   // sealed under a key or algorithm that is not the first
	Owner    string // the user's ID, or ""
	Envelope serialize.Envelope
}

func newInspection(kind string, retired bool, env serialize.Envelope) Inspection {
	w, _ := parseOwnership(env.Owner)
	return Inspection{kind, retired, w.user, env}
}

// Inspect opens a record for a person on call: the payload of tok, or the
// record that a store has for it, where one is given. It asks no server and no
// clock, so it opens expired sessions too. It must not decide about a login.
//
// A record without its token can't be opened: the ID is part of the key.
func (m *Manager) Inspect(tok stores.Token, record []byte) (Inspection, error) {
	if record != nil {
		env, retired, err := m.openAs(tok.ID, m.bindings.server, bytes.Clone(record))
		return newInspection("record on a server", retired, env), err
	}
	if tok.Payload == "" {
		return Inspection{}, fmt.Errorf("%w: the token has no payload; give the store's record too", stores.ErrMalformed)
	}
	if m.encryptor == nil { // a store that signs opens its payload itself
		rec, err := m.store.Load(context.Background(), m.token(tok))
		if err != nil {
			return Inspection{}, err
		}
		env, _, err := m.open(nil, rec.Data)
		return newInspection("record in a signed cookie", rec.Stale, env), err
	}
	data, err := tok.DecodePayload()
	if err != nil {
		return Inspection{}, err
	}
	env, retired, err := m.openAs(tok.ID, m.bindings.client, bytes.Clone(data))
	if err == nil {
		return newInspection("record in a cookie", retired, env), nil
	}
	env, retired, copyErr := m.unsealCopy(tok.ID, data)
	if copyErr != nil {
		return Inspection{}, errors.Join(err, copyErr)
	}
	return newInspection("copy in a cookie", retired, env), nil
}
