package record

import (
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// State is one state of a session, as it was read or written. It is not changed
// once others have it. A nil State is that of a session that nobody keeps yet.
type State struct {
	ID       token.ID
	Revision stores.Revision // of a record on a server; none where the client holds it
	Expires  time.Time
	Meta     envelope.Metadata
	Values   envelope.Values

	// Stale: to be written again soon, since a retired key sealed it or the
	// idle time is configured otherwise now.
	Stale bool

	// Asked is when the server was asked for this state.
	Asked time.Time

	// Payload is what the token should carry beside the ID. Copied: it is a
	// copy of this state, or there is no room for one.
	Payload string
	Copied  bool

	// Bound has opened the record, so that a request that reads and writes
	// derives its key once; nil where there was no need. It ends with the
	// request.
	Bound encrypt.Bound
}

// Exists tells whether somebody keeps the session.
func (s *State) Exists() bool { return s != nil }

// SessionID returns the session's ID, zero where nobody keeps it.
func (s *State) SessionID() token.ID {
	if s == nil {
		return token.ID{}
	}
	return s.ID
}

// Metadata returns the session's metadata, zero where nobody keeps it.
func (s *State) Metadata() envelope.Metadata {
	if s == nil {
		return envelope.Metadata{}
	}
	return s.Meta
}

// AllValues returns the session's values, none where nobody keeps it.
func (s *State) AllValues() envelope.Values {
	if s == nil {
		return envelope.Values{}
	}
	return s.Values
}

// ClientHeld tells whether the record is in the client's token: a record on a
// server always has a revision.
func (s *State) ClientHeld() bool { return s.Revision == "" }

// LastSeen returns when the session was last used, or zero where nothing tells.
func (s *State) LastSeen() time.Time { return expiry.LastSeen(s.Expires, &s.Meta) }

// Fresh tells whether the server was asked for s no longer ago than age. A time
// in the future is another machine's clock, and no reason to trust a copy for
// longer.
func (s *State) Fresh(age time.Duration) bool {
	since := time.Since(s.Asked)
	return since >= 0 && since < age
}
