package firestorestore

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/stores"
)

// attempts is how often a call writes whose precondition fails for a reason that
// is none to give up: the session was only touched, or went away.
const attempts = 3

// refused tells whether Firestore answered that the document is in another state
// than the write required, or was fought over (Aborted). Which code it gives
// for which state differs between its releases and the emulator, and some have
// other causes too (a missing database is NotFound), so that only reading the
// document settles what happened.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound, codes.Aborted:
		return true
	}
	return false
}

// create writes a document where there is none, or one that has expired and that
// the TTL policy has not removed yet.
func (c *call) create(next state, data []byte) (state, error) {
	var expired *state
	var refusal error
	for range attempts {
		var saved state
		var err error
		if expired == nil {
			saved, err = c.add(next, data)
		} else {
			saved, err = c.update(next, data, *expired)
		}
		if !refused(err) {
			return saved, err
		}
		refusal = err
		found, _, err := c.read()
		saved, wrote := next.wrote(found)
		switch {
		case errors.Is(err, stores.ErrNotFound):
			expired = nil
		case err != nil:
			return state{}, err
		case wrote:
			return saved, nil
		case found.live():
			return state{}, stores.ErrExists
		default:
			expired = &found
		}
	}
	return state{}, refusal
}

// replacement is a write that requires a document in a certain state.
type replacement struct {
	write func(base state) (state, error) // on the precondition that the state is base
	wrote func(found state) (state, bool) // whether an attempt whose reply was lost did it
}

// replace does r to the document if its revision is base.
func (c *call) replace(base state, r replacement) (state, error) {
	for range attempts {
		var refusal error
		// Firestore would write over an expired document too.
		if base.updated != 0 && base.live() {
			saved, err := r.write(base)
			if !refused(err) {
				return saved, err
			}
			refusal = err
		}
		found, _, err := c.read()
		saved, wrote := r.wrote(found)
		switch {
		case err != nil:
			return state{}, err
		case !found.live():
			return state{}, stores.ErrNotFound
		case wrote:
			return saved, nil
		case found.mark != base.mark:
			return state{}, stores.ErrConflict
		case found.updated == base.updated && status.Code(refusal) != codes.Aborted:
			return state{}, refusal // the precondition was not the reason
		}
		base = found // only the expiry has moved
	}
	return state{}, stores.ErrConflict
}
