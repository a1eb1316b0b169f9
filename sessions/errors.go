package sessions

import (
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/sessions/internal/watch"
)

// Errors of sessions. They are wrapped; test them with errors.Is. Errors of the
// store ([stores.ErrUnavailable], [stores.ErrTooLarge], …) pass through.
var (
	// ErrNoMiddleware: the context comes from no middleware, or from a request
	// that the middleware was told to skip.
	ErrNoMiddleware = errors.New("sessions: no session middleware around this handler")

	// ErrNotLoaded: the session was not loaded yet; call Load.
	ErrNotLoaded = errors.New("sessions: the session is not loaded")

	// ErrNoValue: the session has no value under the key.
	ErrNoValue = errors.New("sessions: no value")

	// ErrDecode: the value under a key is not of the key's type, as after a release
	// that has changed the type. It stays, and so does the error, until Delete or Set:
	// a handler that can do without it deletes it, see the example of [Key.Delete]. The
	// better way is a new name for the new type, since old and new processes may run
	// together.
	ErrDecode = errors.New("sessions: the value does not decode")

	// ErrEncode: the value can't be encoded by the serializer.
	ErrEncode = errors.New("sessions: the value does not encode")

	// ErrInvalid: an argument that can't be used: a key's name, a user's ID, a
	// label or a time. The text says what is asked for.
	ErrInvalid = errors.New("sessions: invalid argument")

	// ErrUnreadable: there is a record that does not open. The key that sealed
	// it is not in the ring, it was changed in the store, or a later release
	// wrote it. It is left as it is.
	ErrUnreadable = record.ErrUnreadable

	// ErrEnded: the session was ended by another request, has a new ID, or
	// expired, since this one loaded it. Nothing was written, but perhaps by an
	// attempt whose reply was lost before that.
	ErrEnded = swap.ErrEnded

	// ErrRevoked, ErrDeadline, ErrIdle and ErrOwnerChanged are what a context of
	// [Watch] may say of how its session ended. Each is an ErrEnded: it was ended
	// among its owner's ([Manager.RevokeAll] and others, the limit), its lifetime
	// was over, it was not used for its idle time, another user logged in with it.
	ErrRevoked      = swap.ErrRevoked
	ErrDeadline     = watch.ErrDeadline
	ErrIdle         = watch.ErrIdle
	ErrOwnerChanged = watch.ErrOwnerChanged

	// ErrNotStored: the session is new, and no store has it yet. Set a value and
	// call Commit first.
	ErrNotStored = errors.New("sessions: the session is not stored yet")

	// ErrTooLate: the response has begun, so the client can't be given a new
	// token any more: for a new ID, a new session, or one that the cookie holds.
	ErrTooLate = errors.New("sessions: the response has begun; change the session before the first write")

	// ErrBusy: other requests kept changing the session for as long as a
	// commit may take. Nothing was written.
	ErrBusy = swap.ErrBusy

	// ErrTooManySessions: the owner has as many sessions as are allowed.
	ErrTooManySessions = owners.ErrTooMany

	// ErrConfig: a configuration that can't be used.
	ErrConfig = errors.New("sessions: invalid configuration")
)

// Reason says why a token that a client sent was not accepted.
type Reason string

// The reasons. The client gets a new session in every case.
const (
	Malformed Reason = "malformed"          // not the form of a token
	Forged    Reason = "forged"             // the ID's MAC is wrong or missing
	Tampered  Reason = "does not open"      // the payload does not authenticate or open
	Ended     Reason = "ended"              // by a logout, a revocation or a limit, some minutes ago at most
	Unknown   Reason = "unknown"            // the store has no such session
	Replaced  Reason = "replaced"           // the session has another ID now
	Expired   Reason = "expired"            // past its deadline or idle timeout
	Ambiguous Reason = "more than one live" // two cookies name different live sessions
)

// rejectedError tells that a token names no live session. It is not a failure:
// the request goes on with a new session.
type rejectedError struct {
	Reason Reason
	Err    error // what was found, for the operator; may be nil
}

func (e *rejectedError) Error() string {
	if e.Err == nil {
		return "sessions: token rejected: " + string(e.Reason)
	}
	return fmt.Sprintf("sessions: token rejected: %s: %v", e.Reason, e.Err)
}

func (e *rejectedError) Unwrap() error { return e.Err }

func rejected(reason Reason, err error) error { return &rejectedError{reason, err} }
