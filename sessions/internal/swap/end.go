package swap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// cleanupTimeout bounds the end of a record that nobody will hold, when the
// commit's own time may be over.
const cleanupTimeout = 500 * time.Millisecond

// stub returns a stub as a record. deadline is the session's: zero where it is not
// known, past where no client can have an older record.
func (e *Engine) stub(s record.Stub, deadline time.Time) stores.Record {
	until := s.At.Add(e.StubLife)
	if e.KeepStubs {
		if deadline.IsZero() {
			deadline = s.At.Add(expiry.MaxLifetime)
		}
		if deadline.After(until) {
			until = deadline
		}
	}
	return stores.Record{Data: s.Data(), Expires: until}
}

// Move writes "moved" over base, at its revision, after the session has been
// written under its new key. Where another request has changed it, newer is what
// must be written there first; where it was ended, Move fails with [ErrEnded]. The
// caller has the turn of base's key.
func (e *Engine) Move(ctx context.Context, base *record.State, to stores.Key, ownerChanged bool) (newer *record.State, err error) {
	stub := record.Stub{At: now(), To: to, OwnerChanged: ownerChanged}
	rec := e.stub(stub, base.Meta.Last())
	rec.Revision = base.Revision
	until := time.Now().Add(e.Timeout)
	doubt := false
	for tries := 0; ; tries++ {
		_, cause := e.Server.Save(ctx, base.ID.Key(), rec)
		if cause == nil {
			return nil, nil
		}
		if Refused(cause) {
			return nil, refusal(cause, doubt)
		}
		doubt = true
		found, there, err := e.look(ctx, base, cause, until)
		switch {
		case err != nil:
			return nil, err
		case there != nil && bytes.Equal(there.Data(), rec.Data):
			return nil, nil
		case there != nil:
			return nil, ErrEnded
		case found == nil:
			return nil, ErrGone
		case found.Revision != base.Revision:
			return found, nil
		}
		if !e.pause(ctx, tries, until) {
			return nil, unavailable(cause)
		}
	}
}

// Known is what is known of a session that is to be ended.
type Known struct {
	Revision stores.Revision // none: not known
	Loaded   time.Time       // when it was seen alive
	Deadline time.Time       // zero: not known

	// Client: a client may hold a record of the session that the server does
	// not have, so a stub must be there in any case.
	Client bool

	// Revoked: it is not the session's own request that ends it.
	Revoked bool
}

// End writes "ended" over a session's record, and follows it to a new key where it
// has one. It is [ErrEnded] where the session may go on: its owner has changed
// with the ID, so that who had the old one may not end it; or it is gone, and it
// is too late to find out where to.
func (e *Engine) End(ctx context.Context, key stores.Key, k Known) error {
	t, _, err := e.queue.enter(ctx, key, e.Timeout)
	if err != nil {
		return e.busy(0)
	}
	defer t.leave(nil)
	return e.end(ctx, key, k)
}

func (e *Engine) end(ctx context.Context, key stores.Key, k Known) error {
	ended := record.Stub{At: now(), Revoked: k.Revoked}
	until := time.Now().Add(e.Timeout)
	rev := k.Revision
	var failed error // of the last call, where that was no conflict
	tries := 0
	for attempts := 1; ; attempts++ {
		if rev != "" {
			err := e.save(ctx, key, ended, k.Deadline, rev)
			if err == nil || Refused(err) {
				return err
			}
			failed = outage(err)
		}
		// Here, and not between the look and the Save that follows it: a session in
		// constant use would have changed again each time.
		switch {
		case failed != nil:
			if !e.pause(ctx, tries, until) {
				return unavailable(failed)
			}
			tries++
		case attempts > 1:
			if err := e.spread(ctx, attempts, until); err != nil {
				return err
			}
		}
		rec, err := e.Server.Load(ctx, key, stores.Fresh)
		failed = nil
		stub, isStub := record.ParseStub(rec.Data)
		switch {
		case errors.Is(err, stores.ErrNotFound) && k.Client:
			// Nothing to end here, but something to keep from coming.
			if err = e.save(ctx, key, ended, k.Deadline, ""); err == nil || Refused(err) {
				return err
			}
			rev, failed = "", outage(err)
		case errors.Is(err, stores.ErrNotFound):
			if !k.Loaded.IsZero() && time.Since(k.Loaded) > e.StubLife {
				return fmt.Errorf("%w, and whether it has a new ID can't be seen any more", ErrGone)
			}
			return nil
		case err != nil:
			failed = err
		case isStub && !stub.Moved():
			return nil
		case isStub && stub.OwnerChanged:
			return fmt.Errorf("%w: another user logged in with it", ErrEnded)
		case isStub:
			key, rev, k.Client = stub.To, "", false
		default:
			rev = rec.Revision
		}
	}
}

// outage returns err unless it is a conflict, which is an answer.
func outage(err error) error {
	if errors.Is(err, stores.ErrConflict) {
		return nil
	}
	return err
}

// save writes a stub at a revision.
func (e *Engine) save(ctx context.Context, key stores.Key, s record.Stub, deadline time.Time, rev stores.Revision) error {
	rec := e.stub(s, deadline)
	rec.Revision = rev
	_, err := e.Server.Save(ctx, key, rec)
	if err == nil {
		e.Ended(key, s.Revoked)
	}
	return err
}

// Bury ends a record whose ID never went out, whatever is there. It takes its own
// time, since the commit's may be over.
func (e *Engine) Bury(ctx context.Context, key stores.Key) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	until := time.Now().Add(cleanupTimeout)
	for tries := 0; ; tries++ {
		at := now()
		err := e.Server.Put(ctx, key, e.stub(record.Stub{At: at}, at))
		if err == nil {
			return nil
		}
		if !e.pause(ctx, tries, until) {
			return unavailable(err)
		}
	}
}

// Turn waits for the turn of a key, for a commit that writes more than one record.
// leave must be called once if err is nil.
func (e *Engine) Turn(ctx context.Context, key stores.Key) (handed *record.State, leave func(), err error) {
	t, handed, err := e.queue.enter(ctx, key, e.Timeout)
	if err != nil {
		return nil, nil, e.busy(0)
	}
	return handed, func() { t.leave(nil) }, nil
}

// Revoked returns the stub that revokes a session, as a record. Who writes it tells
// Ended.
func (e *Engine) Revoked(deadline time.Time) stores.Record {
	return e.stub(record.Stub{At: now(), Revoked: true}, deadline)
}

// EndInTurn is End for who has the key's turn already.
func (e *Engine) EndInTurn(ctx context.Context, key stores.Key, k Known) error {
	return e.end(ctx, key, k)
}
