package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/sessions/internal/token"
)

// Background loads the session of an ID outside of a request, runs f on it, and writes
// what f has changed: for work that a request began and that goes on after its
// response. The ID is that of [Session.ID].
//
//	id, ctx := s.ID(), context.WithoutCancel(r.Context())
//	go func() {
//		makeReport(ctx)
//		err := mw.Manager().Background(ctx, id, func(s *sessions.Session) error {
//			return notices.Add(s, "Your report is ready.")
//		})
//	}()
//
// The ID is a secret: whoever has it has the session. It prints and marshals as a hash,
// so it can't leave the process by accident; work that another process does keeps the
// user's ID instead, and leaves its result where the next request looks for it. Nor does
// a list of sessions have IDs ([Manager.Sessions]): a user's sessions can be ended
// together ([Manager.RevokeAll]), and not changed.
//
// Where f returns an error nothing is written, but for a [Session.Destroy]. A session
// that has ended or has another ID meanwhile, as after a login, is [ErrEnded], before f
// runs or after; so is a new one that its request has not written yet ([Commit]). There is no client to be given a token: a new ID is [ErrTooLate]. A
// change counts as use of the session; to look at it does not. The session must not be
// used after f.
//
// A session in a cookie is the client's alone, so a store without a server is
// [ErrConfig], and a small session of a hybrid is ErrEnded.
func (m *Manager) Background(ctx context.Context, id ID, f func(*Session) error) error {
	if m.engine == nil {
		return fmt.Errorf("%w: Background needs a store on a server; the %s store leaves sessions to the client", ErrConfig, m.place.Name)
	}
	if id.IsZero() {
		return fmt.Errorf("%w: Background needs the ID of a session", ErrInvalid)
	}
	s, err := m.load(ctx, token.Token{ID: id})
	if _, rejected := errors.AsType[*rejectedError](err); rejected {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.fixed = true // as when the response has gone out
	s.mu.Unlock()

	if err = f(s); err != nil {
		s.Discard()
	}
	_, failed := m.commit(ctx, s, afterResponse)
	return errors.Join(err, failed)
}
