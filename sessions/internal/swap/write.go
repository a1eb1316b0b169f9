package swap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// A Change makes the next state of a session from the one that it meets. It may
// run several times, each time on a newer state. write is false where there is
// nothing to write any more.
type Change func(ctx context.Context, base *record.State) (md envelope.Metadata, vals envelope.Values, write bool, err error)

// Replace writes what change makes of base, which a server has or, without a
// Revision, a client: then it is created. attempts is 1 where no other write came
// between.
//
// [ErrEnded] means that there is no such session any more; where a reply was lost it may
// have been written before. With [stores.ErrUnavailable] it may have been written all the
// same; with every other error it was not.
func (e *Engine) Replace(ctx context.Context, base *record.State, change Change) (st *record.State, attempts int, err error) {
	t, handed, out, err := e.queue.join(ctx, base.ID.Key(), e.Timeout, base, change)
	if err != nil {
		return nil, 0, e.busy(0)
	}
	if out != nil {
		return out.st, out.attempts, out.err
	}
	// Only what this call has written is handed on: a state that was merely
	// found may be older than what the next one has.
	var written *record.State
	defer func() { t.leave(written) }()
	if handed != nil && handed.Meta.Generation >= base.Meta.Generation {
		base = handed
	}
	err = errAlone
	if taken := t.take(base); taken != nil {
		st, attempts, err = e.together(ctx, t, base, change, taken)
	}
	if err == errAlone {
		st, attempts, err = e.write(ctx, base, change, false)
	}
	if err == nil {
		written = st
	}
	return st, attempts, err
}

// Rewrite writes what change makes of base, once: for what is best effort. It returns
// base where another request has written meanwhile, and where the write failed.
func (e *Engine) Rewrite(ctx context.Context, base *record.State, change Change) (st *record.State, err error) {
	t, handed, err := e.queue.enter(ctx, base.ID.Key(), e.Timeout)
	if err != nil {
		return base, e.busy(0)
	}
	var written *record.State
	defer func() { t.leave(written) }()
	if handed != nil {
		written = handed
		return base, nil
	}
	md, vals, write, err := change(ctx, base)
	if err != nil || !write {
		return base, err
	}
	st, rec, err := e.seal(base, md, vals, e.mark())
	if err != nil {
		return base, err
	}
	st.Revision, err = e.Server.Save(ctx, base.ID.Key(), rec)
	if errors.Is(err, stores.ErrConflict) {
		return base, nil
	}
	if err != nil {
		return base, unavailable(err)
	}
	written = st
	return st, nil
}

// Create writes the first record of a session whose ID nobody else has. One whose base
// has a Generation continues a session that had another ID. An earlier record of that
// ID, which only this commit has written, is replaced at its Revision.
func (e *Engine) Create(ctx context.Context, base *record.State, change Change) (*record.State, error) {
	st, _, err := e.write(ctx, base, change, true)
	return st, err
}

// write is one commit to one record. own tells that nobody but this commit writes
// under the ID, except to end it.
func (e *Engine) write(ctx context.Context, base *record.State, change Change, own bool) (st *record.State, attempts int, err error) {
	mark := e.mark()
	var until time.Time // set where it begins to take long
	for attempts = 1; ; attempts++ {
		md, vals, write, err := change(ctx, base)
		if err != nil || !write {
			return base, attempts, err
		}
		st, rec, err := e.seal(base, md, vals, mark)
		if err != nil {
			return base, attempts, err
		}
		rec.Continues = own && base.Meta.Generation > 0
		var found *record.State
		doubt := false // this attempt may be carried out yet
		for tries := 0; ; tries++ {
			st.Revision, err = e.Server.Save(ctx, base.ID.Key(), rec)
			if err == nil {
				return st, attempts, nil
			}
			if Refused(err) {
				return base, attempts, refusal(err, doubt)
			}
			if until.IsZero() {
				until = time.Now().Add(e.Timeout)
			}
			doubt = doubt || !errors.Is(err, stores.ErrConflict)
			cause := err
			var stub *record.Stub
			if found, stub, err = e.look(ctx, base, cause, until); err != nil {
				return base, attempts, err
			}
			missing := found == nil && stub == nil
			switch {
			case stub != nil:
				return base, attempts, ErrEnded
			case missing && base.Revision != "":
				return base, attempts, ErrGone
			}
			if missing || found.Revision == base.Revision {
				// It was not carried out. Who sends the same bytes again does
				// no harm where the first copy is only late.
				if !e.pause(ctx, tries, until) {
					return base, attempts, unavailable(cause)
				}
				continue
			}
			break
		}
		switch {
		case own, found.Meta.Marks.Has(mark):
			return found, attempts, nil
		case doubt && !e.Sealer.Marked() || !found.Meta.Marks.Follows(base.Meta.Marks):
			// A layout that has no room for marks leaves what was answered: a
			// conflict was one, if the client sends a write only once.
			return base, attempts, fmt.Errorf("%w: there is no telling whether the change was written", stores.ErrUnavailable)
		}
		e.Conflict(ctx, base.ID.Key(), attempts)
		if err := e.spread(ctx, attempts, until); err != nil {
			return base, attempts, err
		}
		base = found
	}
}

// Refused tells whether err says that nothing was written, and why another attempt
// is no use.
func Refused(err error) bool {
	return errors.Is(err, stores.ErrTooLarge) || errors.Is(err, stores.ErrInvalidRecord) || errors.Is(err, stores.ErrFull)
}

// refusal returns the error of a refused write. doubt tells that an earlier copy of it
// may be carried out yet: then it is none that says that nothing was written.
func refusal(err error, doubt bool) error {
	if doubt {
		return fmt.Errorf("%w: an earlier attempt may have been carried out; the last one: %v", stores.ErrUnavailable, err)
	}
	return err
}

// seal makes the record of a session's next state.
func (e *Engine) seal(base *record.State, md envelope.Metadata, vals envelope.Values, mark envelope.Mark) (*record.State, stores.Record, error) {
	now := now()
	expires, err := e.Stamp(now, base, &md)
	if err != nil {
		return nil, stores.Record{}, err
	}
	md.Marks = md.Marks.With(mark, now)
	bound := base.Bound
	if bound == nil || base.ClientHeld() {
		if bound, err = e.Sealer.Bind(record.Server, base.ID); err != nil {
			return nil, stores.Record{}, err
		}
	}
	data, err := e.Sealer.Seal(bound, record.Server, envelope.Envelope{Metadata: md, Values: vals})
	if err != nil {
		return nil, stores.Record{}, err
	}
	st := &record.State{ID: base.ID, Expires: expires, Meta: md, Values: vals, Asked: now, Bound: bound}
	return st, stores.Record{Data: data, Expires: expires, Revision: base.Revision}, nil
}

// Stamp sets what every save sets in the metadata of base's next state, and
// returns when it expires.
func (e *Engine) Stamp(now time.Time, base *record.State, md *envelope.Metadata) (time.Time, error) {
	return Stamp(e.Policy, now, base, md)
}

// look finds out what the server has after a Save that answered cause. It asks
// until it has an answer; without one there is no telling.
func (e *Engine) look(ctx context.Context, base *record.State, cause error, until time.Time) (*record.State, *record.Stub, error) {
	bound := base.Bound
	if base.ClientHeld() {
		bound = nil
	}
	for tries := 0; ; tries++ {
		found, stub, err := e.load(ctx, base.ID, bound, stores.Fresh)
		switch {
		case err == nil:
			return found, stub, nil
		case errors.Is(err, stores.ErrNotFound):
			return nil, nil, nil
		case errors.Is(err, record.ErrUnreadable):
			return nil, nil, err
		case !e.pause(ctx, tries, until):
			if errors.Is(cause, stores.ErrConflict) { // what failed is the look
				cause = err
			}
			return nil, nil, unavailable(cause)
		}
	}
}

// Again calls f, which may be repeated, until it answers something else than an
// outage, or the commit's time is over: a lost reply costs a round trip and not an
// error.
func (e *Engine) Again(ctx context.Context, f func() error) error {
	var until time.Time
	for tries := 0; ; tries++ {
		err := f()
		if err == nil || Refused(err) || !errors.Is(err, stores.ErrUnavailable) {
			return err
		}
		if until.IsZero() {
			until = time.Now().Add(e.Timeout)
		}
		if !e.pause(ctx, tries, until) {
			return err
		}
	}
}

// unavailable wraps cause, which may be the context's own error.
func unavailable(cause error) error {
	if errors.Is(cause, stores.ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %w", stores.ErrUnavailable, cause)
}

// pause waits longer with each try. It is false where the commit's time is over.
func (e *Engine) pause(ctx context.Context, tries int, until time.Time) bool {
	d := min(2*time.Millisecond<<min(tries, 10), 250*time.Millisecond)
	return sleep(ctx, d/2+rand.N(d/2), until) == nil
}

// spread waits for a moment after a conflict with another process. It is short, and
// no longer after the tenth conflict than after the first: the other has a queue of
// its own, whose next one follows at once, so that who waits longer the more often it
// lost loses all the time.
func (e *Engine) spread(ctx context.Context, attempts int, until time.Time) error {
	var wait time.Duration
	if attempts > 1 { // the first may be the only one
		wait = rand.N(time.Millisecond)
	}
	if sleep(ctx, wait, until) != nil {
		return e.busy(attempts)
	}
	return nil
}

func (e *Engine) busy(attempts int) error {
	return fmt.Errorf("%w: %d attempts within %v", ErrBusy, attempts, e.Timeout)
}

// sleep waits for d, or fails when ctx ends or at until, where that is set.
func sleep(ctx context.Context, d time.Duration, until time.Time) error {
	if left := time.Until(until); left <= 0 {
		return context.DeadlineExceeded
	}
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
