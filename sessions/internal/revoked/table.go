package revoked

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// table is a list in memory. Looking something up takes one lock of 64, for reading.
type table struct {
	shards    [64]shard
	anonymous atomic.Int64 // entries of sessions without an owner
	groups    atomic.Int64
	raised    atomic.Uint64 // everybody's number by RevokeEverything
	number    atomic.Uint64 // everybody's number, also by the list's beginning
}

type shard struct {
	mu      sync.RWMutex
	marks   marks
	numbers map[stores.Key]counted
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
	for i := range t.shards {
		t.shards[i].numbers = make(map[stores.Key]counted)
	}
	return t
}

// shard returns where k is. Keys are hashes.
func (t *table) shard(k stores.Key) *shard {
	hash := k.Hash()
	return &t.shards[hash[0]%64]
}

func (t *table) find(k stores.Key) state {
	sh := t.shard(k)
	sh.mu.RLock()
	m, _ := sh.marks.get(k)
	sh.mu.RUnlock()
	return m.kind
}

func (t *table) group(k stores.Key) uint64 {
	if t.groups.Load() == 0 { // as where nobody has ended all of a user's sessions of late
		return 0
	}
	sh := t.shard(k)
	sh.mu.RLock()
	n := sh.numbers[k].n
	sh.mu.RUnlock()
	return n
}

// add notes one entry, and returns what has become of its session if that is news.
func (t *table) add(e stores.Revocation, pass uint8) (news state) {
	until := uint32(min(max(e.Until.Unix(), 0), 1<<32-1))
	sh := t.shard(e.Key)
	if n, _, ok := parseNumber(e.Value); ok {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		was, there := sh.numbers[e.Key]
		if !there {
			t.groups.Add(1)
		}
		sh.numbers[e.Key] = counted{max(n, was.n), pass}
		return live
	}
	m := mark{until: until, kind: ended, pass: pass, anonymous: e.Value != "" && e.Value[0] >= 'a'}
	if _, ok := parseMove(e.Value); ok {
		m.kind = moved
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	was, there := sh.marks.get(e.Key)
	if there {
		m.kind, m.until, m.anonymous = max(m.kind, was.kind), max(m.until, was.until), was.anonymous
	} else if m.anonymous {
		t.anonymous.Add(1)
	}
	sh.marks.set(e.Key, m)
	if m.kind == was.kind {
		return live
	}
	return m.kind
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

// forgetNumbers drops the numbers of all groups.
func (t *table) forgetNumbers() {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		t.groups.Add(-int64(len(sh.numbers)))
		clear(sh.numbers)
		sh.mu.Unlock()
	}
}

// forget drops what is over and was not seen in the last reading of everything. Both:
// the list may have lost what this process still knows, and this machine's clock may be
// wrong. Of numbers the list is the only truth: a login seals what it finds there, and
// must not be refused for what was lost. One that was raised meanwhile is read again.
func (t *table) forget(pass uint8) {
	now := uint32(time.Now().Unix())
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.marks.keep(func(m mark) bool { return m.pass == pass || m.until >= now }, func(m mark) {
			if m.anonymous {
				t.anonymous.Add(-1)
			}
		})
		for k, c := range sh.numbers {
			if c.pass != pass {
				delete(sh.numbers, k)
				t.groups.Add(-1)
			}
		}
		sh.mu.Unlock()
	}
}
