package memstore

import (
	"math"
	"sync"

	"github.com/bulla-go/bulla/stores"
)

// entry is one record.
type entry struct {
	key     stores.Key
	value   string // the revision, then the data
	expires int64  // Unix time in microseconds, which has room for every year
}

func (e *entry) revision() stores.Revision { return stores.Revision(e.value[:revisionSize]) }

// shard is one part of the store with its own lock.
type shard struct {
	limit *limit

	mu       sync.Mutex
	index    index[stores.Key, uint32] // the place of an entry
	entries  pages[entry]
	changes  uint64 // how often an entry was written or moved
	earliest int64  // no entry expires before this; it may be too early, never too late
}

// live returns the entry of key, or nil where there is none that has not
// expired. The caller holds the lock, and keeps it while it uses the entry.
func (sh *shard) live(key stores.Key, now int64) *entry {
	if i, ok := sh.index.m[key]; ok {
		if e := sh.entries.at(int(i)); e.expires > now {
			return e
		}
	}
	return nil
}

// write puts fresh in the place of revision rev of its key, none to create it, or
// of whatever there is where rev is nil.
func (sh *shard) write(fresh entry, rev *stores.Revision, continues bool, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sweep(now)
	i, held := sh.index.m[fresh.key]
	var there stores.Revision
	if held {
		if e := sh.entries.at(int(i)); e.expires > now {
			there = e.revision()
		}
	}
	switch {
	case rev != nil && *rev != there:
		return stores.ErrConflict
	case held: // perhaps expired
		*sh.entries.at(int(i)) = fresh
	case !sh.limit.take(continues):
		return errFull
	default:
		sh.index.set(fresh.key, uint32(sh.entries.len))
		sh.entries.push(fresh)
	}
	sh.changes++
	sh.earliest = min(sh.earliest, fresh.expires)
	return nil
}

// touch moves the expiry of revision rev on.
func (sh *shard) touch(key stores.Key, rev stores.Revision, expires, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.live(key, now)
	if e == nil || e.revision() != rev {
		return stores.ErrConflict
	}
	e.expires = max(e.expires, expires)
	return nil
}

// remove takes the entry at i out, and gives its place under the limit back.
func (sh *shard) remove(i int) {
	sh.changes++
	sh.index.delete(sh.entries.at(i).key)
	if moved := sh.entries.drop(i); moved != nil {
		sh.index.m[moved.key] = uint32(i)
	}
	sh.limit.release()
}

// sweep removes what has expired of the next few entries.
func (sh *shard) sweep(now int64) {
	sh.entries.sweep(sweepSteps, func(e *entry) bool { return e.expires <= now }, sh.remove)
}

// removeExpired looks for expired entries, step by step, until a step has
// removed some, and tells whether it has.
func (sh *shard) removeExpired(now int64) bool {
	look := search{earliest: math.MaxInt64}
	for {
		if removed, end := sh.step(&look, now); removed || end {
			return removed
		}
	}
}

// search is where a look through all entries has got to.
type search struct {
	next     int
	changes  uint64 // those before it began
	earliest int64  // of those that it has seen
}

// step looks at some entries under the lock. The first step goes on only when
// one can have expired.
func (sh *shard) step(look *search, now int64) (removed, end bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if look.next == 0 {
		if sh.earliest > now {
			return false, true
		}
		look.changes = sh.changes
	}
	for steps := 0; steps < reclaimSteps && look.next < sh.entries.len; steps++ {
		if e := sh.entries.at(look.next); e.expires > now {
			look.earliest = min(look.earliest, e.expires)
			look.next++
			continue
		}
		sh.remove(look.next) // what was the last entry is here now
		removed = true
	}
	end = look.next >= sh.entries.len
	// What was seen is the truth only if nothing moved meanwhile.
	if end && !removed && look.changes == sh.changes {
		sh.earliest = look.earliest
	}
	return removed, end
}
