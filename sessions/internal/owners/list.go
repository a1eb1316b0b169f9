package owners

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// One is an entry of an owner's list together with its record.
type One struct {
	stores.Entry
	content
	owner stores.Key // under which it is filed

	// Of the record: zero where there is no live one.
	Ends     time.Time
	revision stores.Revision
	moved    bool // there is a stub that names another key
	past     bool // it has ended together with everybody's; its record does not tell
}

// Live tells whether the session's record is there.
func (e *One) Live() bool { return e.revision != "" }

// underWay tells whether the entry may be that of a login whose record is yet to
// come.
func (e *One) underWay() bool { return !e.Live() && !e.moved && e.Age <= inFlight }

// is tells whether key is the session's, or was a short while ago.
func (e *One) is(key stores.Key) bool {
	return e.Key == key || slices.ContainsFunc(e.replaced, func(r replaced) bool { return r.key == key })
}

// entries reads all lists of an owner: while keys change there are several, one under
// each key. A session that is filed afresh meanwhile goes from one list into another; it
// is added first and then removed. So each list but the first is read before that and
// once more after, and whichever way it goes, it is seen.
func (o *Owners) entries(ctx context.Context, hashes []stores.Key) ([]One, error) {
	var all []One
	at := make(map[stores.Key]int)
	for _, h := range slices.Concat(hashes[1:], hashes) {
		entries, err := o.Index.Entries(ctx, h)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			one := One{Entry: e, owner: h}
			if i, ok := at[e.Key]; !ok {
				at[e.Key] = len(all)
				all = append(all, one)
			} else if h == hashes[0] { // the one that is kept up to date
				all[i] = one
			}
		}
	}
	return all, nil
}

// list reads the list of an owner, or of an external ID, by Number. Entries whose sessions
// have ended leave it.
func (o *Owners) list(ctx context.Context, hashes []stores.Key) ([]One, error) {
	all, err := o.entries(ctx, hashes)
	if err != nil {
		return nil, err
	}
	for i := range all {
		e := &all[i]
		if e.content, err = o.openEntry(e.owner, e.Data); err != nil {
			// The session must still be seen and ended, and must not keep
			// its owner out.
			o.Unreadable(ctx, e.Key, err)
		}
		e.past = err == nil && o.Past != nil && o.Past(e.epochs)
	}
	keys := make([]stores.Key, len(all))
	for i := range all {
		keys[i] = all[i].Key
	}
	recs, err := o.Engine.LoadMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	dead := make(map[stores.Key][]stores.Key)
	for i, rec := range recs {
		e := &all[i]
		if rec.Revision == "" {
			if !e.underWay() {
				dead[e.owner] = append(dead[e.owner], e.Key)
			}
		} else if stub, ok := record.ParseStub(rec.Data); !ok {
			e.Ends, e.revision = rec.Expires, rec.Revision
		} else if e.moved = stub.Moved() && !stub.OwnerChanged; !e.moved {
			e.Age = inFlight + 1
			dead[e.owner] = append(dead[e.owner], e.Key)
		}
	}
	for h, keys := range dead {
		if err := o.remove(ctx, h, keys...); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(e One) bool { return !e.Live() && !e.moved && !e.underWay() })
	slices.SortFunc(all, func(a, b One) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(b.Age, a.Age))
	})
	return all, nil
}

// List returns user's live sessions, the latest login last.
func (o *Owners) List(ctx context.Context, user string) ([]One, error) {
	all, err := o.list(ctx, o.hashes(user))
	if err != nil {
		return nil, err
	}
	var live []One
	for _, e := range all {
		// Where two live of one number, the session is just getting another ID,
		// and the client has the older one yet.
		if n := len(live); e.Live() && !e.past && (n == 0 || live[n-1].Number != e.Number) {
			live = append(live, e)
		}
	}
	return live, nil
}

// EndOne ends user's session that has or had key. It is [stores.ErrNotFound] where
// there is none: nobody can end another's session.
func (o *Owners) EndOne(ctx context.Context, user string, key stores.Key) error {
	all, err := o.list(ctx, o.hashes(user))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(e One) bool { return !e.underWay() && e.is(key) })
	if i < 0 {
		return fmt.Errorf("%w among the owner's", stores.ErrNotFound)
	}
	// Whatever ID it has, or is just getting.
	number := all[i].Number
	_, err = o.endThese(ctx, slices.DeleteFunc(all, func(e One) bool { return e.underWay() || e.Number != number }))
	return err
}

// EndAll ends user's sessions but that of number spared, and returns their keys.
// Raise comes before.
func (o *Owners) EndAll(ctx context.Context, user string, spared uint64) ([]stores.Key, error) {
	return o.endAll(ctx, o.hashes(user), spared)
}

// EndExternal ends the sessions of an external ID, and returns their keys. RaiseExternal
// comes before.
func (o *Owners) EndExternal(ctx context.Context, x External) ([]stores.Key, error) {
	return o.endAll(ctx, o.externals(x), 0)
}

func (o *Owners) endAll(ctx context.Context, hashes []stores.Key, spared uint64) ([]stores.Key, error) {
	all, err := o.list(ctx, hashes)
	if err != nil {
		return nil, err
	}
	return o.endThese(ctx, slices.DeleteFunc(all, func(e One) bool { return e.underWay() || spared != 0 && e.Number == spared }))
}

// endThese ends the sessions of entries, and removes the entries after. One that can't be
// ended, since others change it all the time, keeps none of the rest alive.
func (o *Owners) endThese(ctx context.Context, entries []One) (ended []stores.Key, err error) {
	rest, err := o.endTogether(ctx, entries)
	if err != nil {
		return nil, err
	}
	var busy error
	alive := make(map[stores.Key]bool)
	for _, e := range rest {
		err := o.Engine.End(ctx, e.Key, swap.Known{Deadline: e.Deadline, Revoked: true})
		switch {
		case err == nil, errors.Is(err, swap.ErrEnded): // another user's now
		case errors.Is(err, swap.ErrBusy):
			busy, alive[e.Key] = err, true
		default:
			return nil, err
		}
	}
	gone := make(map[stores.Key][]stores.Key)
	numbers := make(map[uint64]bool)
	for _, e := range entries {
		if alive[e.Key] {
			continue
		}
		gone[e.owner] = append(gone[e.owner], e.Key)
		if !numbers[e.Number] {
			numbers[e.Number] = true
			ended = append(ended, e.Key)
		}
	}
	for h, keys := range gone {
		if err := o.remove(ctx, h, keys...); err != nil {
			return ended, err
		}
	}
	return ended, busy
}

// endTogether ends the sessions whose revision is known in few round trips, where
// the server can, and returns those that are left.
func (o *Owners) endTogether(ctx context.Context, entries []One) ([]One, error) {
	b, ok := o.Engine.Server.(stores.Batcher)
	if !ok {
		return entries, nil
	}
	var rest, live []One
	for _, e := range entries {
		if e.Live() {
			live = append(live, e)
		} else {
			rest = append(rest, e)
		}
	}
	if len(live) == 0 {
		return rest, nil
	}
	keys, recs := make([]stores.Key, len(live)), make([]stores.Record, len(live))
	for i, e := range live {
		keys[i], recs[i] = e.Key, o.Engine.Revoked(e.Deadline)
		recs[i].Revision = e.revision
	}
	conflicts, err := b.SaveMany(ctx, keys, recs)
	if err != nil { // each may be ended or not: one by one
		return entries, ctx.Err()
	}
	for i, conflict := range conflicts {
		if conflict {
			rest = append(rest, live[i])
		} else {
			o.Engine.Ended(keys[i], true)
		}
	}
	return rest, nil
}
