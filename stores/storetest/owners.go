package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// ownerChecks pass without a word where the store is no OwnerIndex.
var ownerChecks = []check{
	{"rule 8 add", owned(func(o *ownerSubject) {
		owner, other := newOwner(), newOwner()
		o.lists(9, "an owner without entries", owner)
		one, two, third := o.entry("one"), o.entry("\x00\xff two\r\n"), o.entry("")
		o.add(owner, one, two)
		o.add(other, third)
		o.lists(8, "after AddEntry", owner, one, two)
		o.lists(8, "another owner after AddEntry", other, third)
	})},
	{"rule 8 replace", owned(func(o *ownerSubject) {
		owner, e, beside := newOwner(), o.entry("one"), o.entry("beside")
		o.add(owner, e, beside)
		for i, data := range []string{"two", "", "a longer three"} {
			e.Data = []byte(data)
			e.Deadline = time.Now().Add(time.Duration(3-i) * longLife).Truncate(time.Millisecond)
			o.add(owner, e)
			o.lists(8, "after AddEntry of the same Key", owner, e, beside)
		}
	})},
	{"rule 8 one key under two owners", owned(func(o *ownerSubject) {
		owner, other := newOwner(), newOwner()
		e, f := o.entry("one"), o.entry("two")
		f.Key = e.Key
		o.add(owner, e)
		o.add(other, f)
		o.lists(8, "after AddEntry of the same Key under another owner", owner, e)
		o.lists(8, "the other owner", other, f)
	})},
	{"rule 8 order", owned(func(o *ownerSubject) {
		owner, list := newOwner(), []stores.Entry{o.entry("one"), o.entry("two"), o.entry("three")}
		o.add(owner, list...)
		before := o.added(owner)
		for i := range list[1:] {
			if !before[list[i].Key].Before(before[list[i+1].Key]) {
				o.Errorf("rule 8: entry %d was Added at %v and entry %d, which came later, at %v", i+1, before[list[i].Key], i+2, before[list[i+1].Key])
			}
		}
		list[0].Data = []byte("replaced")
		o.add(owner, list[0])
		o.lists(8, "after the first entry was replaced", owner, list...)
		for key, added := range o.added(owner) {
			if !added.Equal(before[key]) {
				o.Errorf("rule 8: after the first entry was replaced an entry's Added is %v, want %v", added, before[key])
			}
		}
	})},
	{"rule 8 slices are the caller's", owned(func(o *ownerSubject) {
		owner, e := newOwner(), o.entry("the caller's data")
		given := e
		given.Data = bytes.Clone(e.Data)
		o.add(owner, given)
		if !bytes.Equal(given.Data, e.Data) {
			o.Errorf("rule 8: AddEntry changed its argument")
		}
		scribble(given.Data)
		o.lists(8, "after the caller changed the slice that it had added", owner, e)
		list, err := o.index.Entries(o.ctx, owner)
		if err != nil || len(list) != 1 {
			o.Fatalf("rule 9: Entries: %d entries, error %q", len(list), text(err))
		}
		scribble(list[0].Data)
		o.lists(9, "after the caller changed the slice that it had listed", owner, e)
	})},
	{"rule 9 past deadlines", owned(func(o *ownerSubject) {
		owner := newOwner()
		short, stays, longer, shorter := o.entry("short"), o.entry("stays"), o.entry("longer"), o.entry("shorter")
		longer.Deadline = time.Now().Add(o.cfg.ShortLife)
		o.add(owner, longer, shorter, stays)
		longer.Deadline = time.Now().Add(longLife).Truncate(time.Millisecond)
		short.Deadline = time.Now().Add(o.cfg.ShortLife)
		shorter.Deadline = short.Deadline
		o.add(owner, longer, short, shorter)
		o.cfg.Advance(o.cfg.ShortLife * 3 / 2)
		o.lists(9, "after two Deadlines", owner, stays, longer)
		o.add(owner, short) // with its deadline past
		o.lists(9, "after AddEntry with a Deadline that is past", owner, stays, longer)
	})},
	{"rule 9 records' expiry", owned(func(o *ownerSubject) {
		owner, tok, short := newOwner(), o.token(), o.token()
		e, ends := o.entryOf(tok, "one"), o.entryOf(short, "two")
		o.add(owner, e, ends)
		o.lists(9, "before the records are created", owner, e, ends)

		rec := o.record("data", "")
		_, rev := o.saveRecord(tok, rec)
		e.Expires = rec.Expires
		o.lists(9, "after one record is created", owner, e, ends)
		rec.Expires, rec.Revision = time.Now().Add(2*longLife), rev
		_, rev = o.saveRecord(tok, rec)
		e.Expires = rec.Expires
		o.expire(short)
		o.lists(9, "after one record was saved again and the other has expired", owner, e, ends)

		if err := o.store.Delete(o.ctx, tok, rev); err != nil {
			o.Fatalf("rule 4: Delete: %v", err)
		}
		e.Expires = time.Time{}
		o.lists(9, "after Delete of a Revision", owner, e, ends)
		other := newOwner()
		tok = o.token()
		e = o.live(other, tok)
		if err := o.store.Delete(o.ctx, tok, ""); err != nil {
			o.Fatalf("rule 4: Delete: %v", err)
		}
		e.Expires = time.Time{}
		o.lists(9, "after Delete", other, e)
	})},
	{"rule 9 orphans", owned(func(o *ownerSubject) {
		if !o.cfg.Synctest {
			return // nobody waits for an hour
		}
		owner, tok, ends := newOwner(), o.token(), o.token()
		orphan, e, f := o.entry("orphan"), o.entryOf(tok, "live"), o.entryOf(ends, "has ended")
		for _, e := range []*stores.Entry{&orphan, &e, &f} {
			e.Deadline = e.Deadline.Add(4 * stores.OrphanAge)
		}
		o.add(owner, orphan, e, f)
		rec := o.record("data", "")
		rec.Expires = time.Now().Add(3 * stores.OrphanAge).Truncate(time.Millisecond)
		o.saveRecord(tok, rec)
		e.Expires = rec.Expires
		o.expire(ends)
		young := o.entry("young")
		young.Deadline = orphan.Deadline
		o.cfg.Advance(stores.OrphanAge / 2)
		o.add(owner, young)
		o.lists(9, "before an entry without a record is too old", owner, orphan, e, f, young)
		o.cfg.Advance(stores.OrphanAge/2 + time.Second)
		o.lists(9, "after two entries without records are too old", owner, e, young)
	})},
	{"rule 10 remove", owned(func(o *ownerSubject) {
		owner, other := newOwner(), newOwner()
		gone, stays, theirs := o.token(), o.token(), o.token()
		e, f, g := o.live(owner, gone), o.live(owner, stays), o.live(other, theirs)
		shared := e
		shared.Expires = time.Time{}
		o.add(other, e)
		for range 2 {
			o.remove(owner, gone.ID.Key())
			o.missing(10, "after RemoveOwned", gone)
			o.lists(10, "after RemoveOwned", owner, f)
			o.lists(10, "another owner after RemoveOwned", other, g, shared)
		}
		o.remove(owner)
		o.lists(10, "after RemoveOwned of no keys", owner, f)
		for _, tok := range []stores.Token{stays, theirs} {
			if _, err := o.store.Load(o.ctx, tok); err != nil {
				o.Errorf("rule 10: Load of a record whose key was not given to RemoveOwned: %v", err)
			}
		}
		o.remove(owner, stays.ID.Key())
		o.missing(10, "after RemoveOwned of the last", stays)
		o.lists(10, "after RemoveOwned of the last", owner)
	})},
	{"rule 10 entries without records", owned(func(o *ownerSubject) {
		owner, e, f := newOwner(), o.entry("one"), o.entry("two")
		o.add(owner, e, f)
		o.remove(owner, e.Key, o.entry("nowhere").Key)
		o.lists(10, "after RemoveOwned of an entry without a record, and of a key without an entry", owner, f)
		o.remove(newOwner(), f.Key)
		o.lists(10, "after RemoveOwned under another owner", owner, f)
		o.add(owner, e)
		o.lists(8, "after AddEntry of a Key that was removed", owner, e, f)
	})},
	{"rule 10 many", owned(func(o *ownerSubject) {
		const n, writers = 600, 4 // more than stores do in one call
		owner, stays := newOwner(), o.token()
		f := o.live(owner, stays)
		list := make([]stores.Entry, n)
		goTogether(writers, func(w int) {
			for i := w; i < n; i += writers {
				list[i] = o.entry(fmt.Sprint("entry ", i))
				if err := o.index.AddEntry(o.ctx, owner, list[i]); err != nil {
					o.Errorf("rule 8: AddEntry: %v", err)
					return
				}
			}
		})
		// Records at the edges of the calls.
		var toks []stores.Token
		for _, i := range []int{0, n / 2, n - 1} {
			tok := o.token()
			o.remove(owner, list[i].Key)
			list[i] = o.live(owner, tok)
			toks = append(toks, tok)
		}
		o.lists(9, "many entries", owner, append(slices.Clone(list), f)...)
		var keys []stores.Key
		for _, e := range list {
			keys = append(keys, e.Key)
		}
		o.remove(owner, keys...)
		o.lists(10, "after RemoveOwned of many", owner, f)
		for _, tok := range toks {
			o.missing(10, "after RemoveOwned of many", tok)
		}
	})},
	{"rule 11 epoch", owned(func(o *ownerSubject) {
		owner, other := newOwner(), newOwner()
		seen := map[string]bool{}
		if got := o.epoch(owner); got != "" {
			o.Errorf("rule 11: the first epoch is %q, want none", got)
		}
		e := o.entry("one")
		o.add(owner, e)
		if got := o.epoch(owner); got != "" {
			o.Errorf("rule 11: after AddEntry the epoch is %q, want none", got)
		}
		for range 4 {
			for _, k := range []stores.OwnerKey{owner, other} {
				before := o.epoch(other)
				o.newEpoch(k)
				got := o.epoch(k)
				if got == "" || seen[got] {
					o.Errorf("rule 11: after NewEpoch the epoch is %q, which it was before", got)
				}
				if again := o.epoch(k); again != got {
					o.Errorf("rule 11: the epoch is %q and then %q, without NewEpoch", got, again)
				}
				if k == owner && o.epoch(other) != before {
					o.Errorf("rule 11: NewEpoch changed the epoch of another owner")
				}
				seen[got] = true
			}
		}
		o.lists(11, "after NewEpoch", owner, e)
		last := o.epoch(owner)
		o.remove(owner, e.Key)
		if got := o.epoch(owner); got != last {
			o.Errorf("rule 11: RemoveOwned of the last entry changed the epoch from %q to %q", last, got)
		}
		o.add(owner, e)
		o.lists(8, "after NewEpoch and AddEntry", owner, e)
	})},
	{"rule 11 epoch outlives the entries", owned(func(o *ownerSubject) {
		owner, e := newOwner(), o.entry("one")
		e.Deadline = time.Now().Add(o.cfg.ShortLife)
		o.newEpoch(owner)
		o.add(owner, e)
		epoch := o.epoch(owner)
		o.cfg.Advance(o.cfg.ShortLife * 3 / 2)
		o.lists(9, "after the last Deadline", owner)
		o.add(newOwner(), o.entry("other"), o.entry("other"))
		if got := o.epoch(owner); got != epoch {
			o.Errorf("rule 11: after the last entry's Deadline the epoch is %q, want %q", got, epoch)
		}
	})},
	{"rule 11 many epochs at once", owned(func(o *ownerSubject) {
		owner := newOwner()
		var mu sync.Mutex
		var seen []string
		goTogether(8, func(int) {
			before, err := o.index.Epoch(o.ctx, owner)
			newErr := o.index.NewEpoch(o.ctx, owner)
			after, afterErr := o.index.Epoch(o.ctx, owner)
			if err := errors.Join(err, newErr, afterErr); err != nil {
				o.Errorf("rule 11: beside others: %v", err)
			}
			if after == "" || after == before {
				o.Errorf("rule 11: beside others the epoch is %q before NewEpoch and %q after", before, after)
			}
			mu.Lock()
			seen = append(seen, after)
			mu.Unlock()
		})
		if last := o.epoch(owner); !slices.Contains(seen, last) {
			o.Errorf("rule 11: the epoch is %q, which nobody saw after their NewEpoch", last)
		}
	})},
	{"rule 8 concurrent use", owned(func(o *ownerSubject) {
		owner := newOwner()
		var mu sync.Mutex
		var stay []stores.Entry
		goTogether(8, func(i int) {
			for range 4 {
				e, f := o.entry(fmt.Sprint("stays ", i)), o.entry(fmt.Sprint("goes ", i))
				err := errors.Join(
					o.index.AddEntry(o.ctx, owner, e),
					o.index.AddEntry(o.ctx, owner, f),
					o.index.RemoveOwned(o.ctx, owner, f.Key))
				list, listErr := o.index.Entries(o.ctx, owner)
				if err := errors.Join(err, listErr); err != nil {
					o.Errorf("rule 8: beside others: %v", err)
				}
				if !slices.ContainsFunc(list, func(x stores.Entry) bool { return x.Key == e.Key }) {
					o.Errorf("rule 8: beside others an entry that was added is not listed")
				}
				mu.Lock()
				stay = append(stay, e)
				mu.Unlock()
			}
		})
		o.lists(8, "after changes at once", owner, stay...)
	})},
	{"rule 12 ended context", owned(func(o *ownerSubject) {
		ctx, cancel := context.WithCancel(o.ctx)
		cancel()
		for what, call := range o.ownerCalls(ctx) {
			if err := call(); err != nil && !errors.Is(err, context.Canceled) {
				o.Errorf("rule 12: %s with an ended context: got error %q, want none or %q", what, err, context.Canceled)
			}
		}
	})},
}

// unreachableOwners tests an index whose server does not answer.
func unreachableOwners(s *subject) {
	s.store = s.cfg.NewUnreachable(s.t)
	owned(func(o *ownerSubject) {
		for what, call := range o.ownerCalls(o.ctx) {
			err := call()
			o.fails(12, what+" while the server does not answer", err, stores.ErrUnavailable)
			if err != nil && !hasCause(err) {
				o.Errorf("rule 12: %s while the server does not answer: the error %q does not wrap its cause", what, err)
			}
		}
	})(s)
}

// ownerSubject is a subject whose store is an OwnerIndex.
type ownerSubject struct {
	*subject
	index stores.OwnerIndex
}

func owned(f func(*ownerSubject)) func(*subject) {
	return func(s *subject) {
		if index, ok := s.store.(stores.OwnerIndex); ok {
			f(&ownerSubject{s, index})
		}
	}
}

func newOwner() (k stores.OwnerKey) {
	rand.Read(k[:])
	return k
}

// entry returns an entry of a session that has no record.
func (o *ownerSubject) entry(data string) stores.Entry { return o.entryOf(o.token(), data) }

func (o *ownerSubject) entryOf(tok stores.Token, data string) stores.Entry {
	return stores.Entry{
		Key: tok.ID.Key(), Data: []byte(data),
		Deadline: time.Now().Add(longLife).Truncate(time.Millisecond),
	}
}

// live gives owner an entry with a record, in the order of a login.
func (o *ownerSubject) live(owner stores.OwnerKey, tok stores.Token) stores.Entry {
	o.Helper()
	e, rec := o.entryOf(tok, "live"), o.record("data", "")
	o.add(owner, e)
	o.saveRecord(tok, rec)
	e.Expires = rec.Expires
	return e
}

func (o *ownerSubject) add(owner stores.OwnerKey, list ...stores.Entry) {
	o.Helper()
	for _, e := range list {
		e.Expires = time.Time{} // which is for Entries to set
		if err := o.index.AddEntry(o.ctx, owner, e); err != nil {
			o.Fatalf("rule 8: AddEntry: %v", err)
		}
	}
}

// added returns when owner's entries were added.
func (o *ownerSubject) added(owner stores.OwnerKey) map[stores.Key]time.Time {
	o.Helper()
	list, err := o.index.Entries(o.ctx, owner)
	if err != nil {
		o.Fatalf("rule 9: Entries: %v", err)
	}
	times := make(map[stores.Key]time.Time)
	for _, e := range list {
		times[e.Key] = e.Added
	}
	return times
}

func (o *ownerSubject) remove(owner stores.OwnerKey, keys ...stores.Key) {
	o.Helper()
	if err := o.index.RemoveOwned(o.ctx, owner, keys...); err != nil {
		o.Fatalf("rule 10: RemoveOwned of %d keys: %v", len(keys), err)
	}
}

func (o *ownerSubject) epoch(owner stores.OwnerKey) string {
	o.Helper()
	epoch, err := o.index.Epoch(o.ctx, owner)
	if err != nil {
		o.Fatalf("rule 11: Epoch: %v", err)
	}
	return epoch
}

func (o *ownerSubject) newEpoch(owner stores.OwnerKey) {
	o.Helper()
	if err := o.index.NewEpoch(o.ctx, owner); err != nil {
		o.Fatalf("rule 11: NewEpoch: %v", err)
	}
}

// lists tests that owner has exactly these entries.
func (o *ownerSubject) lists(rule int, what string, owner stores.OwnerKey, want ...stores.Entry) {
	o.Helper()
	list, err := o.index.Entries(o.ctx, owner)
	if err != nil {
		o.Errorf("rule %d: %s: Entries: %v", rule, what, err)
		return
	}
	found := make(map[stores.Key]stores.Entry)
	for _, e := range list {
		if _, twice := found[e.Key]; twice {
			o.Errorf("rule %d: %s: Entries has one Key twice", rule, what)
		}
		found[e.Key] = e
	}
	if len(found) != len(want) {
		o.Errorf("rule %d: %s: Entries has %d entries, want %d", rule, what, len(found), len(want))
	}
	for _, w := range want {
		e, ok := found[w.Key]
		switch {
		case !ok:
			o.Errorf("rule %d: %s: Entries lacks that with %s", rule, what, abridge(w.Data))
		case !bytes.Equal(e.Data, w.Data):
			o.Errorf("rule %d: %s: an entry holds %s, want %s", rule, what, abridge(e.Data), abridge(w.Data))
		case e.Deadline.Sub(w.Deadline).Abs() >= time.Millisecond:
			o.Errorf("rule %d: %s: an entry has the Deadline %v, want %v to the millisecond", rule, what, e.Deadline, w.Deadline)
		case e.Expires.IsZero() != w.Expires.IsZero() || e.Expires.Sub(w.Expires).Abs() >= time.Millisecond:
			o.Errorf("rule %d: %s: an entry has the Expires %v, want %v to the millisecond", rule, what, e.Expires, w.Expires)
		}
	}
}

// ownerCalls returns a call of each of the index's methods.
func (o *ownerSubject) ownerCalls(ctx context.Context) map[string]func() error {
	owner := newOwner()
	return map[string]func() error{
		"AddEntry": func() error { return o.index.AddEntry(ctx, owner, o.entry("one")) },
		"Entries": func() error {
			_, err := o.index.Entries(ctx, owner)
			return err
		},
		"RemoveOwned": func() error { return o.index.RemoveOwned(ctx, owner, o.entry("one").Key) },
		"Epoch": func() error {
			_, err := o.index.Epoch(ctx, owner)
			return err
		},
		"NewEpoch": func() error { return o.index.NewEpoch(ctx, owner) },
	}
}
