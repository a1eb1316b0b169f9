package sessions

import (
	"context"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/token"
)

// What most tests ask is what a commit does with the store, and what it asks of the
// client's token. So they load and commit without a transport; what a transport is
// told is tested in transport_test.go, and in package middleware.

// Phase says where a request stands when it commits.
type Phase = phase

const (
	Midway         = midway
	BeforeResponse = beforeResponse
	AfterResponse  = afterResponse
)

// Action says what the client's token needs after a commit.
type Action = action

const (
	Keep    = keep
	Replace = replace
	Remove  = remove
)

// Change is what a commit asks of the client's token.
type Change struct {
	Action Action
	Token  token.Token   // of a Replace
	MaxAge time.Duration // of a Replace
}

func (m *Manager) changeOf(c change) Change {
	if c.action != replace {
		return Change{Action: c.action}
	}
	return Change{replace, token.Token{ID: c.state.ID, Payload: c.state.Payload}, m.maxAge(c.state)}
}

// RejectedError tells that a token names no live session.
type RejectedError = rejectedError

// New returns a new session.
func (m *Manager) New() *Session { return m.newSession() }

// Load returns the session that tok names.
func (m *Manager) Load(ctx context.Context, tok token.Token) (*Session, error) {
	return m.load(ctx, tok)
}

// Commit writes what the request changed.
func (m *Manager) Commit(ctx context.Context, s *Session, p Phase) (Change, error) {
	c, err := m.commit(ctx, s, p)
	return m.changeOf(c), err
}

// Watch is the function of that name for a session without an exchange.
func (s *Session) Watch(ctx context.Context) (context.Context, error) { return s.watch(ctx) }

// Watching returns how many sessions and streams are watched.
func (m *Manager) Watching() (sessions, streams int) { return m.watcher.Watching() }

// Token returns the token that the client has.
func (m *Manager) Token(s *Session) (Change, bool) {
	c, ok := s.again()
	if !ok {
		return Change{}, false
	}
	return m.changeOf(c), true
}
