package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/sessions/internal/token"
)

// Resume gives f the session with this ID outside of a request, and stores what f
// changes: for a job that a request has begun and does not wait for. Keep the ID that
// [Session.ID] gave, in memory: it is what logs in, and never prints. A job in another
// process has none, and leaves its result where the next request finds it. Nor has a list
// of a user's sessions ([Manager.Sessions]): they can be ended together
// ([Manager.RevokeAll]), and not changed.
//
// A new session must have been written by its request before ([Commit]). The context is
// not the request's, which ends with the response: [context.WithoutCancel] keeps its values.
//
// The record must be on a server. Changes and conflicts are as in a request, f may
// call [Load] and [Commit] with the context that it is given, and the session counts
// as used. No client waits for a token: [Session.Regenerate] fails with [ErrTooLate].
// [ErrEnded] means that the session was ended, has expired or has a new ID since, or
// that the client holds its record. An error of f drops what f has not committed, but
// no [Session.Destroy], and is returned.
func (m *Manager) Resume(ctx context.Context, id ID, f func(context.Context, *Session) error) error {
	if m.engine == nil {
		return fmt.Errorf("%w: Resume needs a store on a server; the %s store keeps sessions at the client", ErrConfig, m.place.Name)
	}
	if id.IsZero() {
		return fmt.Errorf("%w: Resume needs a session's ID; see Session.ID", ErrInvalid)
	}
	j := &resumed{tok: token.Token{ID: id}}
	if m.signer != nil {
		j.mac = m.signer.Sign(id)
	}
	ctx = j.Begin(ctx, m, j)
	s, err := j.load(ctx)
	if err != nil {
		return err
	}
	if s.IsNew() {
		return ErrEnded
	}
	if _, err := j.Respond(); err != nil {
		return err
	}
	if err = f(ctx, s); err != nil {
		s.Discard()
	}
	return errors.Join(err, j.commit(ctx)) // not after a panic: what f did not finish is not committed
}

// resumed is the transport of a session without a client.
type resumed struct {
	Exchange
	tok token.Token
	mac []byte
}

// Values implements [Transport].
func (j *resumed) Values() []string { return []string{j.tok.Value(j.mac)} }

// Autoload implements [Transport].
func (j *resumed) Autoload() bool { return false }

// Reply implements [Transport]. The client keeps the token that it has.
func (j *resumed) Reply(Reply) {}
