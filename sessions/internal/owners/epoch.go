package owners

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/stores"
)

// epochLife is how long an epoch is kept: longer than any session that was begun
// before it.
const epochLife = expiry.MaxLifetime + 24*time.Hour

// externalLife is how long it is kept that an external ID has ended: longer than what a
// provider has issued before, and a login may still come with, is good for. There may be
// one for each login of each user.
const externalLife = 24 * time.Hour

// epoch is how often all of an owner's sessions were ended. It is kept as an
// ordinary record under the owner's key, as the text "number kept since".
type epoch struct {
	number uint64 // 0: never
	kept   uint64 // the number of the session that the last end spared; 0: none
	since  uint64 // the first of the epochs up to this one whose ends all spared it
}

// spares tells whether all ends since the epoch in which w began spared w's session. They
// may be several: what one returned is in the record only when its request commits, if
// it does.
func (e epoch) spares(w Ownership) bool {
	return e.kept == w.number && e.since <= w.epoch+1 && w.epoch < e.number
}

// epoch reads the epoch of an owner, or of an external ID, from the server. Who is filed
// under several keys has the highest.
func (o *Owners) epoch(ctx context.Context, hashes []stores.Key) (epoch, error) {
	var highest epoch
	for _, h := range hashes {
		e, _, err := o.readEpoch(ctx, h)
		if err != nil {
			return highest, err
		}
		if e.number > highest.number {
			highest = e
		}
	}
	return highest, nil
}

func (o *Owners) readEpoch(ctx context.Context, owner stores.Key) (e epoch, rev stores.Revision, err error) {
	rec, err := o.Engine.Server.Load(ctx, owner, stores.Fresh)
	if errors.Is(err, stores.ErrNotFound) {
		return e, "", nil
	}
	if err != nil {
		return e, "", err
	}
	if n, err := fmt.Sscan(string(rec.Data), &e.number, &e.kept, &e.since); n != 3 || err != nil {
		return e, "", fmt.Errorf("%w: the epoch of an owner was changed in the store", stores.ErrUnavailable)
	}
	return e, rec.Revision, nil
}

// Raise begins a new epoch for the owner of w, in which no login counts that began
// before but, where w has a number, that of w. It returns the new epoch's number: greater
// than the one that w knows, which may be of a key that is not in the ring any more.
func (o *Owners) Raise(ctx context.Context, w Ownership) (uint64, error) {
	return o.raiseAll(ctx, o.hashes(w.User), w, epochLife)
}

// RaiseExternal ends an external ID for good: no login that comes with it counts.
func (o *Owners) RaiseExternal(ctx context.Context, x External) error {
	_, err := o.raiseAll(ctx, o.externals(x), Ownership{}, externalLife)
	return err
}

func (o *Owners) raiseAll(ctx context.Context, hashes []stores.Key, w Ownership, life time.Duration) (uint64, error) {
	now, err := o.epoch(ctx, hashes)
	if err != nil {
		return 0, err
	}
	next := epoch{number: max(now.number, w.epoch) + 1, kept: w.number}
	if next.since = next.number; now.kept == w.number && now.number >= w.epoch {
		next.since = now.since
	}
	for _, h := range hashes {
		if next, err = o.raise(ctx, h, next, life); err != nil {
			return 0, err
		}
	}
	return next.number, nil
}

// raise writes e, or a higher number, as the epoch under one key, and returns what it
// has written. Another's that is as high is as good if it spares
// the same session, or likewise none.
func (o *Owners) raise(ctx context.Context, owner stores.Key, e epoch, life time.Duration) (epoch, error) {
	for failures := 0; ; {
		there, rev, err := o.readEpoch(ctx, owner)
		if err != nil {
			return e, err
		}
		if there.number >= e.number {
			if there.kept == e.kept {
				return there, nil
			}
			e.number = there.number + 1
			e.since = e.number
		}
		_, err = o.Engine.Server.Save(ctx, owner, stores.Record{
			Data: fmt.Appendf(nil, "%d %d %d", e.number, e.kept, e.since), Expires: time.Now().Add(life), Revision: rev, Continues: true,
		})
		if err == nil {
			return e, nil
		}
		// A reply that was lost is seen by reading again.
		if !errors.Is(err, stores.ErrConflict) {
			if failures++; failures > 3 {
				return e, err
			}
		}
	}
}
