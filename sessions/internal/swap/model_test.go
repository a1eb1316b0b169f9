package swap

import (
	"fmt"
	"testing"
)

// The model: what this package promises, in the least that can break it. A store of
// a few cells with compare-and-swap; writes whose request or reply is lost, that
// arrive late, or that the client sends twice; stubs that expire; and some requests,
// each of which changes, regenerates or ends the session. Every interleaving of their
// steps is tried. What a request does is written down here once more, as short as can
// be: TestSchedules in package sessions holds the code to the same promises. A change
// here is what is written at once under one mark: one request's, or that of several.

const maxRequests = 4

type kind byte

const (
	none kind = iota
	live
	ended
	moved
)

// cell is what the store has under a key.
type cell struct {
	kind  kind
	rev   int8
	to    int8  // of moved
	done  uint8 // the changes that are in it, by request
	marks uint8 // who wrote it, by request
}

// write is a Save, or a Put where put is set.
type write struct {
	pending bool
	put     bool
	key     int8
	rev     int8 // to replace; 0: to create
	cell    cell
}

type reqKind byte

const (
	change reqKind = iota
	regenerate
	destroy
)

type result byte

const (
	running result = iota
	acked
	refused // ended elsewhere, and said so
	unknown // no answer in the commit's time
	notLive // there was no session when it began
)

type request struct {
	kind    reqKind
	pc      int8
	result  result
	doubt   bool // an answer was lost
	tried   bool // a write was sent
	late    bool // a stub has expired since it loaded
	key     int8
	base    cell
	newRev  int8 // of a regeneration's record
	outcome result
}

type world struct {
	cells   [1 + maxRequests]cell
	net     [2]write
	reqs    [maxRequests]request
	n       int8
	nextRev int8
	faults  int8
	out     uint8 // the keys whose IDs a client holds
	doubled bool
}

// exec carries a write out, if it applies.
func (w *world) exec(op write) (rev int8, ok bool) {
	c := &w.cells[op.key]
	if !op.put && (op.rev == 0 && c.kind != none || op.rev != 0 && (c.kind == none || c.rev != op.rev)) {
		return 0, false
	}
	w.nextRev++
	*c = op.cell
	c.rev = w.nextRev
	return c.rev, true
}

type reply struct {
	w    world
	rev  int8
	ok   bool // else a conflict, or lost
	lost bool
}

// send returns all that can become of a write.
func (w world) send(op write) []reply {
	var all []reply
	plain := w
	rev, ok := plain.exec(op)
	all = append(all, reply{w: plain, rev: rev, ok: ok})
	if w.faults == 0 {
		return all
	}
	w.faults--
	executed := w
	executed.exec(op)
	all = append(all, reply{w: executed, lost: true}, reply{w: w, lost: true})
	twice := executed
	rev, ok = twice.exec(op)
	all = append(all, reply{w: twice, rev: rev, ok: ok})
	for i := range w.net {
		if !w.net[i].pending {
			late := w
			late.net[i] = op
			late.net[i].pending = true
			all = append(all, reply{w: late, lost: true})
			break
		}
	}
	return all
}

func (w *world) own(i int) int8 { return int8(1 + i) }

// apply is request i's change, made again on each record that it meets.
func (w *world) apply(i int, c cell) cell {
	if c.done&(1<<i) != 0 {
		w.doubled = true
	}
	c.done |= 1 << i
	c.marks |= 1 << i
	return c
}

// end sets the result of request i.
func (w world) end(i int, r result) world {
	w.reqs[i].result = r
	return w
}

// step returns the worlds after the next step of request i.
func (w world) step(i int) []world {
	r := w.reqs[i]
	var all []world
	at := func(w world, pc int8) world { w.reqs[i].pc = pc; return w }
	// after is what follows a write: its success, or a look.
	after := func(replies []reply, success func(w world, rev int8) world, look int8) {
		for _, re := range replies {
			n := re.w
			n.reqs[i].tried = true
			if re.ok {
				all = append(all, success(n, re.rev))
				continue
			}
			n.reqs[i].doubt = n.reqs[i].doubt || re.lost
			all = append(all, at(n, look))
		}
	}
	found := w.cells[r.key]
	switch {
	case r.pc == 0: // load, with any ID that the client has
		for k := range w.cells {
			if w.out&(1<<k) == 0 {
				continue
			}
			n := w
			n.reqs[i].key, n.reqs[i].base = int8(k), w.cells[k]
			if w.cells[k].kind == live {
				all = append(all, at(n, 1))
			} else {
				all = append(all, n.end(i, notLive))
			}
		}

	case r.kind == change && r.pc == 1:
		n := w
		c := n.apply(i, r.base)
		after(n.send(write{key: r.key, rev: r.base.rev, cell: c}), func(w world, _ int8) world { return w.end(i, acked) }, 2)
	case r.kind == change && r.pc == 2:
		if r.doubt {
			all = append(all, w.end(i, unknown))
		}
		switch {
		case found.kind != live:
			all = append(all, w.end(i, refused))
		case found.marks&(1<<i) != 0:
			all = append(all, w.end(i, acked))
		default:
			n := w
			n.reqs[i].base = found
			all = append(all, at(n, 1))
		}

	case r.kind == regenerate && r.pc == 1: // write the new record
		c := r.base
		c.marks |= 1 << i
		after(w.send(write{key: w.own(i), rev: r.newRev, cell: c}), func(w world, rev int8) world {
			w.reqs[i].newRev = rev
			return at(w, 3)
		}, 2)
	case r.kind == regenerate && r.pc == 2:
		c := w.cells[w.own(i)]
		n := w
		if r.doubt {
			gaveUp := at(w, 5)
			gaveUp.reqs[i].outcome = unknown
			all = append(all, gaveUp)
		}
		switch {
		case c.kind == live && c.rev != r.newRev:
			n.reqs[i].newRev = c.rev
			all = append(all, at(n, 3))
		case c.kind == live || c.kind == none:
			all = append(all, at(n, 1))
		default:
			n.reqs[i].outcome = refused
			all = append(all, at(n, 5))
		}
	case r.kind == regenerate && r.pc == 3: // "moved" over the old one
		after(w.send(write{key: r.key, rev: r.base.rev, cell: cell{kind: moved, to: w.own(i)}}), func(w world, _ int8) world {
			w.out |= 1 << w.own(i)
			return w.end(i, acked)
		}, 4)
	case r.kind == regenerate && r.pc == 4:
		n := w
		if r.doubt {
			gaveUp := at(w, 5)
			gaveUp.reqs[i].outcome = unknown
			all = append(all, gaveUp)
		}
		switch {
		case found.kind == moved && found.to == w.own(i):
			n.out |= 1 << w.own(i)
			all = append(all, n.end(i, acked))
		case found.kind != live:
			n.reqs[i].outcome = refused
			all = append(all, at(n, 5))
		case found.rev == r.base.rev:
			all = append(all, at(n, 3))
		default:
			n.reqs[i].base = found
			all = append(all, at(n, 1))
		}
	case r.kind == regenerate && r.pc == 5: // nobody will hold the new ID
		after(w.send(write{put: true, key: w.own(i), cell: cell{kind: ended}}), func(w world, _ int8) world {
			return w.end(i, r.outcome)
		}, 6)
	case r.kind == regenerate && r.pc == 6:
		all = append(all, at(w, 5), w.end(i, r.outcome))

	case r.kind == destroy && r.pc == 1:
		after(w.send(write{key: r.key, rev: r.base.rev, cell: cell{kind: ended}}), func(w world, _ int8) world { return w.end(i, acked) }, 2)
	case r.kind == destroy && r.pc == 2:
		if r.doubt {
			all = append(all, w.end(i, unknown))
		}
		n := w
		switch {
		case found.kind == none && r.late:
			all = append(all, n.end(i, refused))
		case found.kind == none, found.kind == ended:
			all = append(all, n.end(i, acked))
		case found.kind == moved:
			n.reqs[i].key = found.to
			all = append(all, n)
		default:
			n.reqs[i].base = found
			all = append(all, at(n, 1))
		}
	}
	return all
}

// next returns the worlds after this one.
func (w world) next() []world {
	var all []world
	quiet := true // no write is under way
	for i := range w.n {
		if w.reqs[i].result == running {
			all = append(all, w.step(int(i))...)
			quiet = quiet && !w.reqs[i].tried
		}
	}
	for i, op := range w.net {
		if op.pending {
			quiet = false
			n := w
			n.net[i] = write{}
			n.exec(op)
			all = append(all, n)
		}
	}
	// A stub outlives every write and every late copy, but not every handler.
	if quiet {
		for k, c := range w.cells {
			if c.kind != ended && c.kind != moved {
				continue
			}
			n := w
			n.cells[k] = cell{}
			for i := range n.reqs {
				n.reqs[i].late = n.reqs[i].late || n.reqs[i].pc > 0
			}
			all = append(all, n)
		}
	}
	return all
}

// check tells what is wrong with a world in which nothing happens any more.
func (w world) check() string {
	if w.doubled {
		return "a change was made twice"
	}
	alive := 0
	var content uint8
	for k, c := range w.cells {
		if c.kind == live && w.out&(1<<k) != 0 {
			alive++
			content = c.done
		}
	}
	if alive > 1 {
		return "two sessions live of one"
	}
	out, open := false, false
	for i := range w.n {
		r := w.reqs[i]
		open = open || r.result == unknown
		out = out || r.kind == destroy && (r.result == acked || r.result == unknown)
		switch {
		case r.kind == destroy && r.result == acked && alive > 0:
			return "the session lives after an acknowledged logout"
		case r.kind == change && r.result == acked && alive > 0 && content&(1<<i) == 0:
			return "an acknowledged change is lost"
		}
	}
	if alive == 0 && !out && !open {
		return "nobody ended the session, and it is gone"
	}
	return ""
}

// explore tries every interleaving from w on.
func explore(t *testing.T, w world) int {
	seen := map[world]bool{w: true}
	todo := []world{w}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if w.doubled {
			t.Fatalf("a change was made twice: %+v", w)
		}
		next := w.next()
		end := true
		for i := range w.n {
			end = end && w.reqs[i].result != running
		}
		for _, op := range w.net {
			end = end && !op.pending
		}
		if end {
			if fault := w.check(); fault != "" {
				t.Fatalf("%s: %+v", fault, w)
			}
		}
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return len(seen)
}

func TestModel(t *testing.T) {
	for _, m := range []struct {
		faults int8
		kinds  []reqKind
	}{
		{2, []reqKind{change, change}},
		{2, []reqKind{change, regenerate}},
		{2, []reqKind{change, destroy}},
		{2, []reqKind{regenerate, regenerate}},
		{2, []reqKind{regenerate, destroy}},
		{2, []reqKind{destroy, destroy}},
		{2, []reqKind{change, change, regenerate}},
		{2, []reqKind{change, regenerate, destroy}},
		{2, []reqKind{regenerate, regenerate, destroy}},
		{2, []reqKind{change, regenerate, regenerate}},
		{1, []reqKind{change, change, regenerate, destroy}},
		{0, []reqKind{change, regenerate, regenerate, destroy}},
		{0, []reqKind{regenerate, regenerate, regenerate, destroy}},
	} {
		t.Run(fmt.Sprint(m.kinds, m.faults), func(t *testing.T) {
			w := world{n: int8(len(m.kinds)), nextRev: 1, faults: m.faults, out: 1}
			w.cells[0] = cell{kind: live, rev: 1}
			for i := range w.reqs {
				w.reqs[i].result = notLive
			}
			for i, k := range m.kinds {
				w.reqs[i] = request{kind: k}
			}
			t.Logf("%d worlds", explore(t, w))
		})
	}
}
