package memstore

import (
	"context"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// owners is the index of owners. It has one lock: it is asked at logins and
// logouts, not at every request.
type owners struct {
	mu      sync.Mutex
	max     int
	last    uint64                      // the greatest number of any entry
	index   index[place, uint32]        // where in entries
	lists   index[stores.Key, []uint32] // an owner's, in any order
	entries pages[listed]
}

// place names an entry.
type place struct{ owner, key stores.Key }

// listed is an entry. Its times are Unix times in microseconds.
type listed struct {
	place
	number  uint64
	data    string
	expires int64
	written int64
	pos     int // in the owner's list
}

// deadAfter is the age at which an entry without a record is certainly not a
// login under way.
const deadAfter = time.Hour

// AddEntry implements [stores.OwnerIndex]. An entry that would be over at once is
// [stores.ErrInvalidRecord]. In a full index it is an error that wraps
// [stores.ErrFull] and [stores.ErrUnavailable]; before that, entries of sessions
// that are long gone give their places up.
func (s *Store) AddEntry(_ context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	if err := s.check(stores.Record{Data: e.Data, Expires: e.Expires}); err != nil {
		return 0, err
	}
	now := time.Now().UnixMicro()
	return s.owners.add(listed{
		place:   place{owner, e.Key},
		number:  e.Number,
		data:    string(e.Data),
		expires: e.Expires.UnixMicro(),
		written: now,
	}, now, s.dead(now))
}

// dead tells which entries have no session any more.
func (s *Store) dead(now int64) func(*listed) bool {
	return func(l *listed) bool {
		if l.expires <= now {
			return true
		}
		if now-l.written <= deadAfter.Microseconds() {
			return false
		}
		sh := s.shard(l.key)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return sh.live(l.key, now) == nil
	}
}

// Entries implements [stores.OwnerIndex].
func (s *Store) Entries(_ context.Context, owner stores.Key) ([]stores.Entry, error) {
	now := time.Now().UnixMicro()
	var found []listed
	s.owners.mu.Lock()
	for _, i := range s.owners.lists.m[owner] {
		if l := s.owners.entries.at(int(i)); l.expires > now {
			found = append(found, *l)
		}
	}
	s.owners.mu.Unlock()

	list := make([]stores.Entry, len(found))
	for i, l := range found {
		list[i] = stores.Entry{
			Key:     l.key,
			Number:  l.number,
			Data:    []byte(l.data),
			Expires: time.UnixMicro(l.expires),
			Age:     time.Duration(now-l.written) * time.Microsecond,
		}
	}
	return list, nil
}

// RemoveEntries implements [stores.OwnerIndex].
func (s *Store) RemoveEntries(_ context.Context, owner stores.Key, keys ...stores.Key) error {
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	for _, key := range keys {
		if i, ok := s.owners.index.m[place{owner, key}]; ok {
			s.owners.remove(int(i))
		}
	}
	return nil
}

// add adds fresh or puts it in the place of the entry that there is, and returns
// its number.
func (o *owners) add(fresh listed, now int64, dead func(*listed) bool) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries.sweep(sweepSteps, func(l *listed) bool { return l.expires <= now }, o.remove)
	if i, ok := o.index.m[fresh.place]; ok {
		if old := o.entries.at(int(i)); fresh.number == 0 && old.expires > now {
			fresh.number = old.number
		}
		o.remove(int(i))
	} else if o.entries.len >= o.max && !o.entries.sweep(reclaimSteps, dead, o.remove) {
		// One look, not a search: what has expired is a quarter at most, and an
		// index that is full of live sessions must not cost each login a search.
		return 0, errFull
	}
	if fresh.number == 0 {
		fresh.number = o.last + 1 // greater than in all lists, so that none needs to be remembered
	}
	o.last = max(o.last, fresh.number)

	list := o.lists.m[fresh.owner]
	fresh.pos = len(list)
	o.lists.set(fresh.owner, append(list, uint32(o.entries.len)))
	o.index.set(fresh.place, uint32(o.entries.len))
	o.entries.push(fresh)
	return fresh.number, nil
}

// remove takes the entry at i out of the index and of its owner's list.
func (o *owners) remove(i int) {
	l := o.entries.at(i)
	list := o.lists.m[l.owner]
	last := list[len(list)-1]
	list[l.pos] = last
	o.entries.at(int(last)).pos = l.pos
	if list = list[:len(list)-1]; len(list) > 0 {
		o.lists.set(l.owner, list)
	} else {
		o.lists.delete(l.owner)
	}
	o.index.delete(l.place)
	if moved := o.entries.drop(i); moved != nil {
		o.index.m[moved.place] = uint32(i)
		o.lists.m[moved.owner][moved.pos] = uint32(i)
	}
}
