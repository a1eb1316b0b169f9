package memstore

import (
	"fmt"
	"maps"
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

const (
	// pageSize entries are allocated at a time. Pages, unlike one slice,
	// never have to be copied to grow, and go back to the runtime one by
	// one.
	pageSize = 128

	// sweepSteps is how many entries a Save looks at. Once round a shard of
	// n entries are n/4 saves, which add n/4 entries at most, while all
	// that were expired before that round are gone after it. So a shard
	// settles at no more than 4/3 of what is alive, however many sessions
	// expire, and without saves it does not grow.
	sweepSteps = 4

	// minShrink keeps small indexes from being built anew all the time.
	minShrink = 1024
)

// shard is one part of the store with its own lock. Entries lie densely in
// pages, so that the sweep can go through them step by step and resume where
// it stopped, as it could not in a map.
type shard struct {
	limit *limit

	mu       sync.Mutex
	index    map[stores.Key]uint32 // the place of an entry
	pages    [][]entry
	peak     int    // the most entries that index had since it was built
	next     uint32 // where the sweep goes on
	changes  uint64 // how often an entry was written or moved
	earliest int64  // no entry expires before this; it may be too early, never too late
}

func (sh *shard) init(l *limit) {
	sh.limit = l
	sh.index = make(map[stores.Key]uint32)
	sh.earliest = math.MaxInt64
}

func (sh *shard) at(i uint32) *entry { return &sh.pages[i/pageSize][i%pageSize] }

// live returns the entry of key if it has not expired. The caller holds the
// lock, and keeps it while it uses the entry.
func (sh *shard) live(key stores.Key, now int64) (*entry, error) {
	i, ok := sh.index[key]
	if !ok {
		return nil, stores.ErrNotFound
	}
	e := sh.at(i)
	if e.expires <= now {
		return nil, stores.ErrNotFound
	}
	return e, nil
}

// create adds fresh, where need be in the place of an expired entry.
func (sh *shard) create(fresh entry, successor bool, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sweep(now)
	if i, ok := sh.index[fresh.key]; ok {
		e := sh.at(i)
		if e.expires > now {
			return stores.ErrExists
		}
		sh.set(e, fresh)
		return nil
	}
	if !sh.limit.take(successor) {
		return fmt.Errorf("%w: %w: no room for a new session; raise WithMaxSessions or shorten the lifetime", stores.ErrUnavailable, ErrFull)
	}
	sh.add(fresh)
	return nil
}

// replace puts fresh in the place of revision rev.
func (sh *shard) replace(fresh entry, rev stores.Revision, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sweep(now)
	e, err := sh.live(fresh.key, now)
	if err != nil {
		return err
	}
	if e.revision() != rev {
		return stores.ErrConflict
	}
	sh.set(e, fresh)
	return nil
}

// touch moves the expiry of revision rev on.
func (sh *shard) touch(key stores.Key, rev stores.Revision, expires, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, err := sh.live(key, now)
	if err != nil {
		return err
	}
	if e.revision() != rev {
		return stores.ErrConflict
	}
	e.expires = max(e.expires, expires)
	return nil
}

// delete removes revision rev of key, or any revision where rev is none.
func (sh *shard) delete(key stores.Key, rev stores.Revision, now int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if rev != "" {
		e, err := sh.live(key, now)
		if err != nil {
			return err
		}
		if e.revision() != rev {
			return stores.ErrConflict
		}
	}
	if i, ok := sh.index[key]; ok {
		sh.remove(i)
	}
	return nil
}

// sweep looks at a few entries and removes those that have expired. The caller
// holds the lock.
func (sh *shard) sweep(now int64) {
	for range sweepSteps {
		if len(sh.index) == 0 {
			return
		}
		if int(sh.next) >= len(sh.index) {
			sh.next = 0
		}
		if sh.at(sh.next).expires > now {
			sh.next++
			continue
		}
		sh.remove(sh.next) // what was the last entry is here now, and comes next
	}
}

// reclaimSteps is how many entries a full store looks at under one lock: some
// tens of microseconds, so that no reader waits for longer.
const reclaimSteps = 512

// removeExpired looks for expired entries, step by step, until a step has
// removed some, and tells whether it has. It goes through the shard only when
// there can be one.
func (sh *shard) removeExpired(now int64) bool {
	var changes uint64
	next, earliest := uint32(0), int64(math.MaxInt64)
	for {
		sh.mu.Lock()
		if next == 0 { // begin; after a removal it would have returned
			if sh.earliest > now {
				sh.mu.Unlock()
				return false
			}
			changes = sh.changes
		}
		removed := false
		for steps := 0; steps < reclaimSteps && int(next) < len(sh.index); steps++ {
			if e := sh.at(next); e.expires > now {
				earliest = min(earliest, e.expires)
				next++
				continue
			}
			sh.remove(next) // what was the last entry is here now
			removed = true
		}
		end := int(next) >= len(sh.index)
		// What was seen is the truth only if nothing moved meanwhile.
		if end && !removed && changes == sh.changes {
			sh.earliest = earliest
		}
		sh.mu.Unlock()
		if removed || end {
			return removed
		}
	}
}

// set writes fresh over e.
func (sh *shard) set(e *entry, fresh entry) {
	*e = fresh
	sh.changes++
	sh.earliest = min(sh.earliest, fresh.expires)
}

// add appends fresh.
func (sh *shard) add(fresh entry) {
	n := len(sh.index)
	if n == len(sh.pages)*pageSize {
		sh.pages = append(sh.pages, make([]entry, pageSize))
	}
	sh.set(sh.at(uint32(n)), fresh)
	sh.index[fresh.key] = uint32(n)
	sh.peak = max(sh.peak, n+1)
}

// remove takes the entry at i out, moves the last one into its place, and gives
// the place under the limit back.
func (sh *shard) remove(i uint32) {
	sh.changes++
	last := uint32(len(sh.index) - 1)
	e, l := sh.at(i), sh.at(last)
	delete(sh.index, e.key)
	if i != last {
		*e = *l
		sh.index[e.key] = i
	}
	*l = entry{} // let go of the value
	sh.limit.release()
	sh.shrink()
}

// shrink gives memory back. One empty page stays, so that a shard at the edge
// of a page does not allocate again and again.
func (sh *shard) shrink() {
	n := len(sh.index)
	if last := len(sh.pages) - 1; n+pageSize <= last*pageSize {
		sh.pages[last] = nil
		sh.pages = sh.pages[:last]
	}
	// A map never shrinks. It is copied when an eighth is left, so that a
	// copy is paid for by the seven removals of each entry in it.
	if sh.peak >= minShrink && n < sh.peak/8 {
		index := make(map[stores.Key]uint32, n)
		maps.Copy(index, sh.index)
		sh.index, sh.peak = index, n
	}
}
