package firestorestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/stores"
)

// call is one call of a method: the time for it and, where it is about one
// document, that.
type call struct {
	ctx     context.Context // the caller's, with the store's time limit
	caller  context.Context
	client  *firestore.Client
	doc     *firestore.DocumentRef
	timeout time.Duration
}

// begin begins a call. The document may be nil.
func (s *Store) begin(ctx context.Context, doc *firestore.DocumentRef) (*call, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	return &call{ctx: limited, caller: ctx, client: s.client, doc: doc, timeout: s.timeout}, cancel
}

// record returns a record's document. Its ID begins with a letter because a
// Key's text is base64url: by itself it could be __...__, which Firestore
// reserves. That alphabet has no slash and no dot, so no ID is a path.
func (s *Store) record(key stores.Key) *firestore.DocumentRef {
	return s.client.Collection(s.collection).Doc("s" + key.Name())
}

// read returns what the call's document holds, live or expired, or the zero Record
// where there is none.
func (c *call) read() (stores.Record, error) {
	all, err := c.readAll([]*firestore.DocumentRef{c.doc})
	if err != nil {
		return stores.Record{}, err
	}
	return all[0], nil
}

// readAll does a read for each of docs, in one round trip.
func (c *call) readAll(docs []*firestore.DocumentRef) ([]stores.Record, error) {
	// Not DocumentRef.Get: its NotFound for a missing document looks like
	// the one for a missing database, which is not "no session".
	snaps, err := c.client.GetAll(c.ctx, docs)
	if err != nil {
		return nil, c.explain(err)
	}
	all := make([]stores.Record, len(snaps))
	for i, snap := range snaps {
		if !snap.Exists() {
			continue
		}
		data, expire, err := parse(snap)
		if err != nil {
			return nil, err
		}
		all[i] = stores.Record{Data: data, Expires: expire, Revision: revision(snap.UpdateTime, expire)}
	}
	return all, nil
}

// attempts is how often a call tries that others come in between of, or, where
// the client does not repeat it by itself, that fails.
const attempts = 3

// refused tells whether Firestore answered that the document is in another state
// than the write required, or was fought over (Aborted). Which code it gives for
// which state differs between its releases and the emulator.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound, codes.Aborted:
		return true
	}
	return false
}

// refusal is explain for a write with a precondition: that it was refused is
// stores.ErrConflict. The client repeats a write whose reply was lost, and the
// repetition is refused because of what it wrote itself. That is a conflict too:
// the manager finds its own mark.
func (c *call) refusal(err error) error {
	if !refused(err) || errors.Is(err, stores.ErrUnavailable) {
		return c.explain(err)
	}
	// NotFound is also what a missing database gives.
	if status.Code(err) == codes.NotFound {
		if _, err := c.read(); err != nil {
			return err
		}
	}
	return stores.ErrConflict
}

// explain makes err one of those that the contract knows.
func (c *call) explain(err error) error {
	if err == nil || errors.Is(err, stores.ErrConflict) || errors.Is(err, stores.ErrUnavailable) {
		return err
	}
	c.awaitDeadline()
	if ended := c.caller.Err(); ended != nil {
		return fmt.Errorf("firestorestore: %w", ended)
	}
	if c.ctx.Err() != nil {
		return fmt.Errorf("%w: no answer from Firestore within %v: %w", stores.ErrUnavailable, c.timeout, err)
	}
	return unavailable(err)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", stores.ErrUnavailable, err) }

// awaitDeadline waits for ctx to end where that is a moment away: Firestore,
// which gRPC tells the deadline, and the client's limiter may be ahead of it.
// Otherwise it would depend on which of two clocks is ahead whether the caller's
// limit is told from an outage.
func (c *call) awaitDeadline() {
	deadline, _ := c.ctx.Deadline() // there always is one
	if time.Until(deadline) < 100*time.Millisecond {
		<-c.ctx.Done()
	}
}
