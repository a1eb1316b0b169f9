package revoked

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// table is a list in memory. Nearly every look-up is of what is not in it, which the
// filter answers without a lock. Every other takes one lock of 64, for reading.
type table struct {
	// filter has each key that is in a shard when writing is not held. It grows by being
	// replaced. Who still has the one before has looked before what is being added.
	filter atomic.Pointer[filter]
	raised atomic.Uint64 // everybody's number by RevokeEverything
	number atomic.Uint64 // everybody's number, also by the list's beginning

	writing   sync.Mutex // held by who changes a shard
	n         int        // keys
	shards    [64]shard
	anonymous atomic.Int64 // entries of sessions without an owner
}

type shard struct {
	mu      sync.RWMutex
	marks   marks
	numbers map[[keySize]byte]counted
	_       [64]byte // no other shard's lock lies in the same cache line
}

// mark is what is known of a session. It is 8 bytes: there may be millions.
type mark struct {
	until     uint32 // Unix seconds
	kind      state
	anonymous bool
	pass      uint8 // in which reading of everything it was seen last
}

type counted struct {
	n    uint64
	pass uint8
}

type state uint8

const (
	live state = iota
	moved
	ended // also over moved: what has ended elsewhere stays so
)

func newTable() *table {
	t := new(table)
	t.filter.Store(newFilter(0))
	for i := range t.shards {
		t.shards[i].numbers = make(map[[keySize]byte]counted)
	}
	return t
}

// shard returns where a key is. Keys are hashes.
func (t *table) shard(hash *[keySize]byte) *shard { return &t.shards[hash[0]%64] }

// find returns what has become of a session.
func (t *table) find(hash *[keySize]byte) state {
	if !t.filter.Load().mayHave(hash) {
		return live
	}
	sh := t.shard(hash)
	sh.mu.RLock()
	m, _ := sh.marks.get(hash)
	sh.mu.RUnlock()
	return m.kind
}

// group returns the number of a group.
func (t *table) group(hash *[keySize]byte) uint64 {
	if !t.filter.Load().mayHave(hash) {
		return 0
	}
	sh := t.shard(hash)
	sh.mu.RLock()
	n := sh.numbers[*hash].n
	sh.mu.RUnlock()
	return n
}

// add notes one entry, and returns what has become of its session if that is news.
func (t *table) add(e stores.Revocation, pass uint8) (news state) {
	hash := e.Key.Hash()
	t.writing.Lock()
	defer t.writing.Unlock()
	sh := t.shard(&hash)
	sh.mu.Lock()
	news, fresh := sh.add(&hash, e, pass)
	sh.mu.Unlock()
	if !fresh {
		return news
	}
	if t.n++; t.n > t.filter.Load().room {
		t.refilter()
	} else {
		t.filter.Load().add(&hash)
	}
	if anonymous(e) {
		t.anonymous.Add(1)
	}
	return news
}

// add is table's; fresh tells that the key was not there.
func (sh *shard) add(hash *[keySize]byte, e stores.Revocation, pass uint8) (news state, fresh bool) {
	if n, _, ok := parseNumber(e.Value); ok {
		was, there := sh.numbers[*hash]
		sh.numbers[*hash] = counted{max(n, was.n), pass}
		return live, !there
	}
	m := mark{until: uint32(min(max(e.Until.Unix(), 0), 1<<32-1)), kind: ended, pass: pass, anonymous: anonymous(e)}
	if _, ok := parseMove(e.Value); ok {
		m.kind = moved
	}
	was, there := sh.marks.get(hash)
	if there {
		m.kind, m.until, m.anonymous = max(m.kind, was.kind), max(m.until, was.until), was.anonymous
	}
	sh.marks.set(hash, m)
	if m.kind == was.kind {
		return live, !there
	}
	return m.kind, !there
}

// refilter makes a new filter of what is there, with room for as much again. The caller
// holds writing.
func (t *table) refilter() {
	f := newFilter(2*t.n + 64)
	for i := range t.shards {
		for hash := range t.shards[i].marks.all() {
			f.add(hash)
		}
		for hash := range t.shards[i].numbers {
			f.add(&hash)
		}
	}
	t.filter.Store(f)
}

// setEverybody notes everybody's number.
func (t *table) setEverybody(n uint64, born bool) {
	if !born {
		raise(&t.raised, n)
	}
	raise(&t.number, n)
}

func raise(a *atomic.Uint64, n uint64) {
	for old := a.Load(); n > old && !a.CompareAndSwap(old, n); old = a.Load() {
	}
}

// forget drops what is over and was not seen in the last reading of everything. Both:
// the list may have lost what this process still knows, and this machine's clock may be
// wrong. Of numbers the list is the only truth: a login seals what it finds there, and
// must not be refused for what was lost. One that was raised meanwhile is read again.
func (t *table) forget(pass uint8) {
	now := uint32(time.Now().Unix())
	t.writing.Lock()
	defer t.writing.Unlock()
	before := t.n
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.marks.keep(func(m mark) bool { return m.pass == pass || m.until >= now }, func(m mark) {
			t.n--
			if m.anonymous {
				t.anonymous.Add(-1)
			}
		})
		for k, c := range sh.numbers {
			if c.pass != pass {
				delete(sh.numbers, k)
				t.n--
			}
		}
		sh.mu.Unlock()
	}
	if t.n < before {
		t.refilter() // the old one would send to the table who asks for what has gone
	}
}
