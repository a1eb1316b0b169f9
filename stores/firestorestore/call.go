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

// call is one call of a method: one document and the time for it.
type call struct {
	ctx     context.Context // the caller's, with the store's time limit
	caller  context.Context
	client  *firestore.Client
	doc     *firestore.DocumentRef
	timeout time.Duration
}

// begin starts a call for one session.
func (s *Store) begin(ctx context.Context, tok stores.Token) (*call, context.CancelFunc) {
	return s.start(ctx, s.record(tok.ID.Key()))
}

// record returns a session's document. Its ID begins with a letter because a
// Key's text is base64url: by itself it could be __...__, which Firestore
// reserves. That alphabet has no slash and no dot, so no ID is a path.
func (s *Store) record(key stores.Key) *firestore.DocumentRef {
	return s.client.Collection(s.collection).Doc("s" + key.String())
}

// start starts a call. The document may be nil.
func (s *Store) start(ctx context.Context, doc *firestore.DocumentRef) (*call, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	return &call{ctx: limited, caller: ctx, client: s.client, doc: doc, timeout: s.timeout}, cancel
}

// explain makes err one of those that the contract knows.
func (c *call) explain(err error) error {
	if err == nil {
		return nil
	}
	for _, settled := range []error{stores.ErrNotFound, stores.ErrExists, stores.ErrConflict, stores.ErrUnavailable} {
		if errors.Is(err, settled) {
			return err
		}
	}
	c.awaitDeadline(err)
	if ended := c.caller.Err(); ended != nil {
		return fmt.Errorf("firestorestore: %w", ended)
	}
	if c.ctx.Err() != nil {
		return fmt.Errorf("%w: no answer from Firestore within %v: %w", stores.ErrUnavailable, c.timeout, err)
	}
	return fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
}

// awaitDeadline waits for ctx to end where Firestore, which gRPC tells the
// deadline, said so a moment before. Otherwise it would depend on which of two
// clocks is ahead whether the caller's limit is told from an outage.
func (c *call) awaitDeadline(err error) {
	deadline, _ := c.ctx.Deadline() // there always is one
	if status.Code(err) == codes.DeadlineExceeded && time.Until(deadline) < 100*time.Millisecond {
		<-c.ctx.Done()
	}
}
