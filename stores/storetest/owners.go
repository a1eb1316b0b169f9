package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// ownerChecks ask nothing of a store that is no OwnerIndex.
var ownerChecks = []check{
	{"index rule 1 add", indexing(func(o *owners) {
		owner, other := newKey(), newKey()
		o.lists("an owner without entries", owner)
		one, two, third := newEntry("one"), newEntry("\x00\xff two\r\n"), newEntry("")
		o.add(owner, &one)
		o.add(owner, &two)
		o.add(other, &third)
		o.lists("after AddEntry", owner, one, two)
		o.lists("another owner after AddEntry", other, third)
		for _, e := range []stores.Entry{one, two, third} {
			o.missing("index rule 1", "the record of a session that was only listed", e.Key)
		}
	})},
	{"index rule 1 replace", indexing(func(o *owners) {
		owner, e, beside := newKey(), newEntry("one"), newEntry("beside")
		number := o.add(owner, &e)
		o.add(owner, &beside)
		for i, data := range []string{"two", "", "a longer three"} {
			e.Data, e.Number = []byte(data), 0
			e.Expires = time.Now().Add(time.Duration(3-i) * longLife)
			if got := o.add(owner, &e); got != number {
				o.Errorf("index rule 1: AddEntry of the same Key returned the Number %d, want that of the entry that it replaces, %d", got, number)
			}
			o.lists("after AddEntry of the same Key", owner, e, beside)
		}
	})},
	{"index rule 1 repeated", indexing(func(o *owners) {
		owner, first, last := newKey(), newEntry("first"), newEntry("last")
		o.add(owner, &first)
		o.add(owner, &last)
		for range 2 {
			again := first
			again.Number = 0
			o.add(owner, &again)
			o.lists("after a repeated AddEntry", owner, first, last)
			again = first
			o.add(owner, &again)
			o.lists("after a repeated AddEntry with its Number", owner, first, last)
		}
	})},
	{"index rule 1 numbers", indexing(func(o *owners) {
		owner := newKey()
		var list []stores.Entry
		var last uint64
		next := func(what string) {
			o.Helper()
			e := newEntry(what)
			if o.add(owner, &e) <= last {
				o.Errorf("index rule 1: %s AddEntry returned the Number %d, want one greater than %d", what, e.Number, last)
			}
			last = max(last, e.Number)
			list = append(list, e)
		}
		next("at first")
		next("for a second entry")
		next("for a third entry")
		o.remove(owner, list[2].Key)
		list = list[:2]
		next("after the greatest was removed")

		// A session that changed its key keeps its place.
		moved := newEntry("moved")
		moved.Number = list[0].Number
		o.add(owner, &moved)
		list = append(list, moved)
		o.lists("after AddEntry with a Number that another entry has", owner, list...)
		next("after AddEntry with an earlier Number")
		given := newEntry("given")
		given.Number = last + 3
		o.add(owner, &given)
		last = given.Number
		list = append(list, given)
		next("after AddEntry with a greater Number")
		renumbered := list[1]
		renumbered.Number = list[0].Number
		o.add(owner, &renumbered)
		list[1] = renumbered
		o.lists("after AddEntry of the same Key with another Number", owner, list...)

		for _, e := range list {
			o.remove(owner, e.Key)
		}
		list = nil
		next("after all entries were removed")
		o.lists("after all", owner, list...)
	})},
	{"index rule 1 numbers outlive the entries", indexing(func(o *owners) {
		owner := newKey()
		var last uint64
		o.expire("index rule 1: AddEntry of an entry that lives briefly", func(expires time.Time) error {
			e := newEntry("brief")
			e.Expires = expires
			number, err := o.index.AddEntry(o.ctx, owner, e)
			last = max(last, number)
			return err
		})
		o.lists("after the last Expires", owner)
		e := newEntry("next")
		if o.add(owner, &e) <= last {
			o.Errorf("index rule 1: after the last Expires AddEntry returned the Number %d, want one greater than %d", e.Number, last)
		}
	})},
	{"index rule 1 one key under two owners", indexing(func(o *owners) {
		owner, other := newKey(), newKey()
		e, f := newEntry("one"), newEntry("two")
		f.Key = e.Key
		o.add(owner, &e)
		o.add(other, &f)
		o.lists("after AddEntry of the same Key under another owner", owner, e)
		o.lists("the other owner", other, f)
		o.remove(other, e.Key)
		o.lists("after RemoveEntries under another owner", owner, e)
	})},
	{"index rule 2 expiry", indexing(func(o *owners) {
		owner := newKey()
		stays, longer, shorter := newEntry("stays"), newEntry("longer"), newEntry("shorter")
		o.add(owner, &stays)
		var brief stores.Entry
		o.expire("index rule 1: AddEntry of an entry that lives briefly", func(expires time.Time) error {
			brief = newEntry("brief")
			shorter.Expires = time.Now().Add(longLife)
			o.add(owner, &shorter) // the same Key when it is called again: another would stay
			for _, e := range []*stores.Entry{&brief, &shorter, &longer} {
				e.Expires = expires
				var err error
				if e.Number, err = o.index.AddEntry(o.ctx, owner, *e); err != nil {
					return err
				}
			}
			longer.Expires = time.Now().Add(longLife)
			o.add(owner, &longer)
			return nil
		})
		o.lists("after two Expires", owner, stays, longer)
		if _, err := o.index.AddEntry(o.ctx, owner, brief); err != nil {
			o.fails("rule 4", "AddEntry with an Expires that is past", err, stores.ErrInvalidRecord)
		}
		o.lists("after AddEntry with an Expires that is past", owner, stays, longer)
	})},
	{"index rule 2 age", indexing(func(o *owners) {
		const slack = 20 * time.Millisecond
		owner, old, young := newKey(), newEntry("old"), newEntry("young")
		start := time.Now()
		o.add(owner, &old)
		added := time.Now()
		time.Sleep(200 * time.Millisecond)
		middle := time.Now()
		o.add(owner, &young)
		addedYoung := time.Now()
		time.Sleep(100 * time.Millisecond)
		listing := time.Now()
		list := o.entries(owner)
		end := time.Now()
		for key, bounds := range map[stores.Key][2]time.Duration{
			old.Key:   {listing.Sub(added) - slack, end.Sub(start) + slack},
			young.Key: {listing.Sub(addedYoung) - slack, end.Sub(middle) + slack},
		} {
			if age := list[key].Age; age < bounds[0] || age > bounds[1] {
				o.Errorf("index rule 2: an entry has the Age %v, want %v to %v", age, bounds[0], bounds[1])
			}
		}
	})},
	{"index rule 3 remove", indexing(func(o *owners) {
		owner, e, f := newKey(), newEntry("one"), newEntry("two")
		o.add(owner, &e)
		o.add(owner, &f)
		rev := o.save(e.Key, "", "a session")
		for range 2 {
			o.remove(owner, e.Key)
			o.lists("after RemoveEntries", owner, f)
		}
		o.holds("index rule 3", "the record after RemoveEntries of its entry", e.Key, "a session", rev)
		o.remove(owner)
		o.lists("after RemoveEntries of no keys", owner, f)
		o.remove(owner, newKey(), newKey())
		o.remove(newKey(), f.Key)
		o.lists("after RemoveEntries of keys without entries", owner, f)
		e.Number = 0
		o.add(owner, &e)
		o.lists("after AddEntry of a Key that was removed", owner, e, f)
		o.remove(owner, e.Key, newKey(), f.Key, e.Key)
		o.lists("after RemoveEntries of all", owner)
	})},
	{"index rule 3 many", indexing(func(o *owners) {
		const writers = 4
		owner, stays := newKey(), newEntry("stays")
		o.add(owner, &stays)
		list := make([]stores.Entry, many)
		goTogether(writers, func(w int) {
			for i := w; i < many; i += writers {
				list[i] = newEntry(fmt.Sprint("entry ", i))
				var err error
				if list[i].Number, err = o.index.AddEntry(o.ctx, owner, list[i]); err != nil {
					o.Errorf("index rule 1: AddEntry: %v", err)
					return
				}
			}
		})
		o.lists("many entries", owner, append([]stores.Entry{stays}, list...)...)
		var keys []stores.Key
		for _, e := range list {
			keys = append(keys, e.Key)
		}
		o.remove(owner, keys...)
		o.lists("after RemoveEntries of many", owner, stays)
	})},
	{"index and the owner's record", indexing(func(o *owners) {
		// Both are filed under the owner's key.
		owner, e := newKey(), newEntry("one")
		o.add(owner, &e)
		o.missing("index", "the owner's record after AddEntry", owner)
		rev := o.save(owner, "", "epoch 1")
		o.lists("after Save of the owner's record", owner, e)
		f := newEntry("two")
		o.add(owner, &f)
		o.holds("index", "the owner's record after AddEntry", owner, "epoch 1", rev)
		rev = o.save(owner, rev, "epoch 2")
		o.remove(owner, e.Key)
		o.holds("index", "the owner's record after RemoveEntries", owner, "epoch 2", rev)
		o.remove(owner, f.Key)
		o.holds("index", "the owner's record after RemoveEntries of all", owner, "epoch 2", rev)
		o.lists("after RemoveEntries of all", owner)
		o.add(owner, &e)
		o.expire("rule 3: Put of a record that lives briefly", func(expires time.Time) error {
			return o.server.Put(o.ctx, owner, stores.Record{Data: []byte("epoch 3"), Expires: expires})
		})
		o.missing("index", "the owner's record after its Expires", owner)
		o.lists("after the Expires of the owner's record", owner, e)

		rev = o.save(owner, "", "epoch 4")
		o.remove(owner, e.Key)
		o.expire("index rule 1: AddEntry of an entry that lives briefly", func(expires time.Time) error {
			e := newEntry("brief")
			e.Expires = expires
			_, err := o.index.AddEntry(o.ctx, owner, e)
			return err
		})
		o.lists("after the last Expires", owner)
		o.holds("index", "the owner's record after the Expires of the last entry", owner, "epoch 4", rev)
	})},
	{"index rule 4 slices are the caller's", indexing(func(o *owners) {
		owner, e := newKey(), newEntry("the caller's data")
		given := e
		given.Data = bytes.Clone(e.Data)
		e.Number = o.add(owner, &given)
		if !bytes.Equal(given.Data, e.Data) {
			o.Errorf("index rule 4: AddEntry changed its argument")
		}
		scribble(given.Data)
		o.lists("after the caller changed the slice that it had added", owner, e)
		scribble(o.entries(owner)[e.Key].Data)
		o.lists("after the caller changed the slice that it had listed", owner, e)
		keys := []stores.Key{newKey(), e.Key, newKey()}
		o.remove(owner, keys...)
		if keys[1] != e.Key {
			o.Errorf("index rule 4: RemoveEntries changed its argument")
		}
	})},
	{"index rule 4 concurrent use", indexing(func(o *owners) {
		owner := newKey()
		var mu sync.Mutex
		var stay []stores.Entry
		numbers := make(map[uint64]bool)
		goTogether(8, func(i int) {
			var last uint64
			for range 4 {
				e, f := newEntry(fmt.Sprint("stays ", i)), newEntry(fmt.Sprint("goes ", i))
				var err, goes error
				e.Number, err = o.index.AddEntry(o.ctx, owner, e)
				f.Number, goes = o.index.AddEntry(o.ctx, owner, f)
				removed := o.index.RemoveEntries(o.ctx, owner, f.Key)
				list, listed := o.index.Entries(o.ctx, owner)
				if err := errors.Join(err, goes, removed, listed); err != nil {
					o.Errorf("index rule 4: beside others: %v", err)
					return
				}
				found := byKey(list)
				if _, ok := found[e.Key]; !ok {
					o.Errorf("index rule 1: beside others an entry that was added is not listed")
				}
				if _, ok := found[f.Key]; ok {
					o.Errorf("index rule 3: beside others an entry that was removed is listed")
				}
				if e.Number <= last || f.Number <= e.Number {
					o.Errorf("index rule 1: beside others AddEntry returned the Numbers %d, %d, %d one after the other", last, e.Number, f.Number)
				}
				last = f.Number
				mu.Lock()
				for _, n := range []uint64{e.Number, f.Number} {
					if numbers[n] {
						o.Errorf("index rule 1: beside others two entries have the Number %d", n)
					}
					numbers[n] = true
				}
				stay = append(stay, e)
				mu.Unlock()
			}
		})
		o.lists("after changes at once", owner, stay...)
	})},
	{"index rule 4 one key at once", indexing(func(o *owners) {
		owner, e := newKey(), newEntry("the same")
		var numbers [8]uint64
		goTogether(len(numbers), func(i int) {
			var err error
			if numbers[i], err = o.index.AddEntry(o.ctx, owner, e); err != nil {
				o.Errorf("index rule 4: AddEntry beside others: %v", err)
			}
		})
		e.Number = numbers[0]
		o.lists("after AddEntry of one Key many times at once", owner, e)
		for _, n := range numbers {
			if n != e.Number {
				o.Errorf("index rule 1: AddEntry of one Key many times at once returned the Numbers %v, want one", numbers)
				return
			}
		}
	})},
}

// owners is a subject whose store is an OwnerIndex.
type owners struct {
	*subject
	index stores.OwnerIndex
}

func indexing(f func(*owners)) func(*subject) {
	return func(s *subject) {
		if index, ok := s.server.(stores.OwnerIndex); ok {
			f(&owners{s, index})
		} else {
			s.Logf("%T is no stores.OwnerIndex", s.server)
		}
	}
}

// newEntry returns an entry of a session that has no record.
func newEntry(data string) stores.Entry { return entry(newKey(), data) }

func entry(key stores.Key, data string) stores.Entry {
	return stores.Entry{Key: key, Data: []byte(data), Expires: time.Now().Add(longLife)}
}

// add adds what must be possible to add, and sets its number.
func (o *owners) add(owner stores.Key, e *stores.Entry) uint64 {
	o.Helper()
	number, err := o.index.AddEntry(o.ctx, owner, *e)
	if err != nil {
		o.Fatalf("index rule 1: AddEntry: %v", err)
	}
	if number == 0 {
		o.Fatalf("index rule 1: AddEntry returned no Number")
	}
	if e.Number != 0 && number != e.Number {
		o.Errorf("index rule 1: AddEntry of an entry with the Number %d returned %d", e.Number, number)
	}
	e.Number = number
	return number
}

func (o *owners) remove(owner stores.Key, keys ...stores.Key) {
	o.Helper()
	if err := o.index.RemoveEntries(o.ctx, owner, keys...); err != nil {
		o.Fatalf("index rule 3: RemoveEntries of %d keys: %v", len(keys), err)
	}
}

// entries returns the owner's list by key.
func (o *owners) entries(owner stores.Key) map[stores.Key]stores.Entry {
	o.Helper()
	list, err := o.index.Entries(o.ctx, owner)
	if err != nil {
		o.Fatalf("index rule 2: Entries: %v", err)
	}
	found := byKey(list)
	if len(found) != len(list) {
		o.Errorf("index rule 1: Entries has one Key twice")
	}
	return found
}

func byKey(list []stores.Entry) map[stores.Key]stores.Entry {
	found := make(map[stores.Key]stores.Entry, len(list))
	for _, e := range list {
		found[e.Key] = e
	}
	return found
}

// lists tests that owner has exactly these entries.
func (o *owners) lists(what string, owner stores.Key, want ...stores.Entry) {
	o.Helper()
	found := o.entries(owner)
	if len(found) != len(want) {
		o.Errorf("index rule 2: %s: Entries has %d entries, want %d", what, len(found), len(want))
	}
	for _, w := range want {
		e, ok := found[w.Key]
		switch {
		case !ok:
			o.Errorf("index rule 2: %s: Entries lacks that with %s", what, abridge(w.Data))
		case !bytes.Equal(e.Data, w.Data):
			o.Errorf("index rule 1: %s: an entry holds %s, want %s", what, abridge(e.Data), abridge(w.Data))
		case e.Number != w.Number:
			o.Errorf("index rule 1: %s: an entry has the Number %d, want %d", what, e.Number, w.Number)
		case e.Expires.Sub(w.Expires).Abs() >= time.Millisecond:
			o.Errorf("index rule 2: %s: an entry has the Expires %v, want %v to the millisecond", what, e.Expires, w.Expires)
		case e.Age < 0 || e.Age > time.Hour/2: // of an entry that was written just now
			o.Errorf("index rule 2: %s: an entry has the Age %v", what, e.Age)
		}
	}
}
