package owners

import (
	"fmt"
	"testing"
)

// The model of this package: logins, regenerations, ends of all and of others, and
// limits that end the oldest or refuse the new one, crossing each other in every way.
// What a request does is written down once more, as short as can be, one call of the
// store a step; package swap's model has the calls that fail, and TestOwnerSchedules
// in package sessions holds the code to the same promises.

const maxKeys = 7 // two sessions that are there, and one key for each request

type recKind byte

const (
	noRecord recKind = iota
	liveRecord
	endedRecord
	movedRecord
)

type rec struct {
	kind  recKind
	rev   int8
	epoch int8
	to    int8
}

type reqKind byte

const (
	doLogin reqKind = iota
	doRegenerate
	doRevokeAll
	doRevokeOthers
)

type result byte

const (
	running result = iota
	acked
	lost    // ended, and said so
	refused // over the limit
	idle    // there was nothing to do
)

type req struct {
	kind   reqKind
	pc     int8
	result result
	key    int8  // its own session's
	old    int8  // of a regeneration: what it replaces
	base   rec   // as it was read
	own    rec   // as it wrote its own record
	epoch  int8  // that a login read, or that an end of others raised to
	left   uint8 // keys of a list that are to be looked at
	found  uint8 // keys that are to be ended
	seen   uint8 // keys with a record, of those
	must   uint8 // numbers that must be dead once this is acknowledged
	under  uint8 // requests that were logging in then, and must not survive
}

type world struct {
	recs    [maxKeys]rec
	entries uint8         // keys that are listed
	number  [maxKeys]int8 // of a key's entry and record
	held    uint8         // keys whose IDs clients hold
	epoch   int8
	kept    int8
	next    int8 // the last number given
	rev     int8
	reqs    [4]req
	n       int8
	limit   int8
	evict   bool
	ends    bool // somebody ends sessions, besides the limit
}

func (w *world) put(k int8, r rec) rec {
	w.rev++
	r.rev = w.rev
	w.recs[k] = r
	return r
}

// end ends the session that has key, wherever it went.
func (w *world) end(k int8) {
	for w.recs[k].kind == movedRecord {
		k = w.recs[k].to
	}
	if w.recs[k].kind == liveRecord {
		w.put(k, rec{kind: endedRecord})
	}
}

func (w *world) drop(k int8) { w.entries &^= 1 << k }

// alive returns the numbers of the sessions that clients hold and that live.
func (w *world) alive() (numbers uint8) {
	for k, r := range w.recs {
		if r.kind == liveRecord && w.held&(1<<k) != 0 {
			numbers |= 1 << w.number[k]
		}
	}
	return numbers
}

func each(set uint8) (keys []int8) {
	for k := range int8(maxKeys) {
		if set&(1<<k) != 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

func count(set uint8) (n int8) { return int8(len(each(set))) }

// step returns the worlds after the next step of request i.
func (w world) step(i int) []world {
	r := &w.reqs[i]
	one := func() []world { return []world{w} }
	finish := func(res result) []world { r.result = res; return one() }
	bury := func(res result) []world { // nobody will hold the ID
		w.put(r.key, rec{kind: endedRecord})
		w.drop(r.key)
		return finish(res)
	}
	switch r.kind {
	case doLogin:
		switch r.pc {
		case 0:
			r.epoch = w.epoch
		case 1:
			w.next++
			w.number[r.key] = w.next
			w.entries |= 1 << r.key
		case 2:
			w.put(r.key, rec{kind: liveRecord, epoch: r.epoch})
		case 3:
			if w.epoch != r.epoch {
				return bury(lost)
			}
		case 4: // the list
			r.left = w.entries
		case 5: // its records
			r.found, r.seen = 0, 0
			for _, k := range each(r.left) {
				switch kind := w.recs[k].kind; {
				case kind == endedRecord:
				case kind == noRecord:
					r.found |= 1 << k
				default:
					r.found |= 1 << k
					r.seen |= 1 << k
				}
			}
			if w.limit == 0 {
				r.found = 0
				r.pc = 8
				return one()
			}
			if !w.evict {
				var before uint8
				for _, k := range each(r.found) {
					if w.number[k] < w.number[r.key] {
						before |= 1 << w.number[k]
					}
				}
				if count(before) >= w.limit {
					return bury(refused)
				}
				r.found = 0
				r.pc = 8
				return one()
			}
			var numbers uint8
			for _, k := range each(r.seen) {
				numbers |= 1 << w.number[k]
			}
			over := uint8(0)
			for _, k := range each(r.seen) {
				newer := int8(0)
				for _, n := range each(numbers) {
					if n > w.number[k] {
						newer++
					}
				}
				if newer >= w.limit {
					over |= 1 << k
				}
			}
			r.found = over
		case 6: // what is over ends, in any order
			var all []world
			for _, k := range each(r.found &^ (1 << r.key)) {
				n := w
				n.end(k)
				n.reqs[i].found &^= 1 << k
				n.reqs[i].seen |= 1 << k
				all = append(all, n)
			}
			if len(all) > 0 {
				return all
			}
			if r.found&(1<<r.key) != 0 {
				return bury(lost)
			}
		case 7:
			for _, k := range each(r.left) {
				if w.recs[k].kind == endedRecord || w.recs[k].kind == movedRecord && r.seen&(1<<k) != 0 && w.recs[w.recs[k].to].kind != liveRecord {
					w.drop(k)
				}
			}
		case 8:
			// What the handler was told counts, if its session still lives.
			w.held |= 1 << r.key
			return finish(acked)
		}
		r.pc++
		return one()

	case doRegenerate:
		switch r.pc {
		case 0: // any session that a client has
			var all []world
			for _, k := range each(w.held) {
				n := w
				if n.recs[k].kind != liveRecord {
					continue
				}
				n.reqs[i].old, n.reqs[i].base, n.reqs[i].pc = k, n.recs[k], 1
				all = append(all, n)
			}
			if len(all) == 0 {
				return finish(idle)
			}
			return all
		case 1:
			w.number[r.key] = w.number[r.old]
			w.entries |= 1 << r.key
		case 2:
			if w.recs[r.key].kind == endedRecord { // revoked already
				w.drop(r.key)
				return finish(lost)
			}
			r.own = w.put(r.key, rec{kind: liveRecord, epoch: r.base.epoch})
		case 3: // confirm
			switch {
			case w.epoch == r.own.epoch:
			case w.kept == w.number[r.key] && w.epoch == r.own.epoch+1:
				if w.recs[r.key].kind != liveRecord {
					w.drop(r.key)
					return finish(lost)
				}
				r.own = w.put(r.key, rec{kind: liveRecord, epoch: w.epoch})
				return one()
			default: // finish what an end of all has begun
				w.end(r.old)
				return bury(lost)
			}
		case 4:
			switch found := w.recs[r.old]; {
			case found.kind != liveRecord:
				return bury(lost)
			case found.rev != r.base.rev:
				r.base, r.pc = found, 1
				return one()
			}
			w.put(r.old, rec{kind: movedRecord, to: r.key})
			w.held = w.held&^(1<<r.old) | 1<<r.key
		case 5:
			w.drop(r.old)
			return finish(acked)
		}
		r.pc++
		return one()

	case doRevokeAll, doRevokeOthers:
		others := r.kind == doRevokeOthers
		switch r.pc {
		case 0:
			if others {
				var all []world
				for _, k := range each(w.held) {
					n := w
					if n.recs[k].kind != liveRecord {
						continue
					}
					n.reqs[i].old, n.reqs[i].base, n.reqs[i].pc = k, n.recs[k], 1
					all = append(all, n)
				}
				if len(all) == 0 {
					return finish(idle)
				}
				return all
			}
		case 1:
			r.must = w.alive()
			for j := range w.n {
				if w.reqs[j].kind == doLogin && w.reqs[j].pc > 0 && w.reqs[j].result == running {
					r.under |= 1 << j
				}
			}
			w.epoch++
			w.kept = 0
			if others {
				w.kept = w.number[r.old]
				r.must &^= 1 << w.kept
			}
			r.epoch = w.epoch
		case 2:
			r.left = w.entries
		case 3:
			r.found = 0
			for _, k := range each(r.left) {
				if w.recs[k].kind != noRecord && !(others && w.number[k] == w.number[r.old]) {
					r.found |= 1 << k
				}
			}
			r.seen = r.found
		case 4:
			var all []world
			for _, k := range each(r.found) {
				n := w
				n.end(k)
				n.reqs[i].found &^= 1 << k
				all = append(all, n)
			}
			if len(all) > 0 {
				return all
			}
		case 5:
			for _, k := range each(r.seen) {
				w.drop(k)
			}
			if !others {
				return finish(acked)
			}
		case 6: // its own session learns of the epoch
			found := w.recs[r.old]
			if found.kind != liveRecord {
				return finish(lost)
			}
			found.epoch = max(found.epoch, r.epoch)
			w.put(r.old, found)
			return finish(acked)
		}
		r.pc++
		return one()
	}
	return nil
}

// check tells what is wrong when all have ended.
func (w world) check() string {
	alive := w.alive()
	for k, r := range w.recs {
		if r.kind == liveRecord && w.held&(1<<k) != 0 && w.entries&(1<<k) == 0 {
			return "a live session is not listed"
		}
	}
	if w.limit > 0 && count(alive) > w.limit {
		return "more sessions than the limit"
	}
	for i := range w.n {
		r := w.reqs[i]
		switch {
		case r.result == acked && r.must&alive != 0:
			return "a session lives after an acknowledged revocation"
		case r.result == acked && w.survivors(r.under)&alive != 0:
			return "a login that was under way survives a revocation"
		case r.kind == doLogin && r.result == acked && !w.evict && !w.ends && alive&(1<<w.number[r.key]) == 0:
			return "a limit that refuses has ended an acknowledged login"
		}
	}
	return ""
}

// survivors returns the numbers of logins.
func (w world) survivors(reqs uint8) (numbers uint8) {
	for _, i := range each(reqs) {
		numbers |= 1 << w.number[w.reqs[i].key]
	}
	return numbers
}

func TestModel(t *testing.T) {
	for _, m := range []struct {
		before int8 // sessions that are there
		limit  int8
		evict  bool
		kinds  []reqKind
	}{
		{2, 0, false, []reqKind{doLogin, doRegenerate, doRevokeAll}},
		{2, 0, false, []reqKind{doLogin, doLogin, doRevokeAll}},
		{2, 0, false, []reqKind{doRegenerate, doRegenerate, doRevokeAll}},
		{2, 0, false, []reqKind{doLogin, doRegenerate, doRevokeOthers}},
		{2, 0, false, []reqKind{doRegenerate, doRevokeAll, doRevokeOthers}},
		{2, 0, false, []reqKind{doRegenerate, doRevokeOthers, doRevokeOthers}},
		{2, 2, true, []reqKind{doLogin, doLogin}},
		{0, 1, true, []reqKind{doLogin, doLogin, doLogin}},
		{2, 2, true, []reqKind{doLogin, doLogin, doRegenerate}},
		{2, 2, true, []reqKind{doLogin, doRegenerate, doRevokeAll}},
		{2, 2, true, []reqKind{doLogin, doRegenerate, doRevokeOthers}},
		{2, 3, false, []reqKind{doLogin, doLogin, doLogin}},
		{2, 3, false, []reqKind{doLogin, doLogin, doRegenerate}},
		{2, 3, false, []reqKind{doLogin, doLogin, doRevokeAll}},
	} {
		t.Run(fmt.Sprint(m.before, m.kinds, m.limit, m.evict), func(t *testing.T) {
			w := world{n: int8(len(m.kinds)), limit: m.limit, evict: m.evict, next: m.before, rev: m.before}
			w.entries = 1<<m.before - 1
			w.held = w.entries
			for k := range m.before {
				w.recs[k] = rec{kind: liveRecord, rev: k + 1}
				w.number[k] = k + 1
			}
			for i := range w.reqs {
				w.reqs[i].result = idle
			}
			for i, k := range m.kinds {
				w.reqs[i] = req{kind: k, key: int8(2 + i)}
				w.ends = w.ends || k != doLogin
			}
			t.Logf("%d worlds", explore(t, w))
		})
	}
}

// explore tries every interleaving from w on.
func explore(t *testing.T, w world) int {
	seen := map[world]bool{w: true}
	todo := []world{w}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		end := true
		for i := range w.n {
			if w.reqs[i].result != running {
				continue
			}
			end = false
			for _, n := range w.step(int(i)) {
				if !seen[n] {
					seen[n] = true
					todo = append(todo, n)
				}
			}
		}
		if end {
			if fault := w.check(); fault != "" {
				t.Fatalf("%s: %+v", fault, w)
			}
		}
	}
	return len(seen)
}
