package swap

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/record"
)

// Who has the turn writes the changes of those who wait behind it along: one Save with
// one mark, for all of them or for none. So a burst of n requests costs a few saves and
// not n. Each makes its change itself, in its own goroutine, on what it is given: what
// panics or blocks there is the application's code, and no other request's.

// patience is for how long who has the turn waits for the others' changes.
const patience = 50 * time.Millisecond

// part is what one who waits would write.
type part struct {
	base   *record.State
	change Change
	ask    chan *record.State // 1; what the change is to be made of
	made   chan made          // 1
	done   chan outcome       // 1

	// Under the lane's lock.
	taken bool // another writes it
	late  bool // its time is over; it stays until it is written, or given back
}

// made is what a change has made.
type made struct {
	md    envelope.Metadata
	vals  envelope.Values
	write bool
	err   error
	gone  bool // it panicked, and waits no more
}

type outcome struct {
	st       *record.State
	attempts int // 0: it was not tried
	err      error
}

func newPart(base *record.State, change Change) *part {
	return &part{base: base, change: change, ask: make(chan *record.State, 1), made: make(chan made, 1), done: make(chan outcome, 1)}
}

// answer makes w's change for the one who has asked. Where that panics, or ends the
// goroutine, w waits no more.
func (t turn) answer(ctx context.Context, w *waiter, p *part, base *record.State) {
	m := made{gone: true}
	defer func() {
		p.made <- m
		if !m.gone {
			return
		}
		t.lane.mu.Lock()
		w.gone = true
		has := len(w.turn) > 0 // given back meanwhile
		t.lane.mu.Unlock()
		if has {
			t.leave(nil)
		}
	}()
	var n made
	n.md, n.vals, n.write, n.err = p.change(ctx, base)
	m = n
}

// take returns those who wait next and whose changes can be written along with one
// of base. A part that has seen a newer record than base waits for its own turn.
func (t turn) take(base *record.State) (taken []*waiter) {
	if base.ClientHeld() {
		return nil
	}
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	waiting := t.lane.find(t.key)
	for w := waiting.first; w != nil; w = w.next {
		if !w.gone {
			p := w.part
			if p == nil || p.base.ClientHeld() || p.base.Meta.Generation > base.Meta.Generation {
				break
			}
			p.taken = true
			taken = append(taken, w)
		}
		if waiting.first = w.next; waiting.first == nil {
			waiting.last = nil
		}
	}
	return taken
}

// giveBack lets those who were taken wait again, at the head of the line. From now on
// each writes for itself.
func (t turn) giveBack(taken []*waiter) {
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	waiting := t.lane.find(t.key)
	for _, w := range slices.Backward(taken) {
		if w.part.late {
			w.part.done <- outcome{err: context.DeadlineExceeded}
			continue
		}
		w.part = nil
		if w.next = waiting.first; w.next == nil {
			waiting.last = w
		}
		waiting.first = w
	}
}

// errAlone: nothing was written, and who has the turn must try without the others.
var errAlone = errors.New("swap: not together")

// together writes what change makes of base, and the changes of those who were taken
// behind it. It gives back those whose change fails, and all of them where nothing was
// written and it may be because they are many.
func (e *Engine) together(ctx context.Context, t turn, base *record.State, change Change, taken []*waiter) (st *record.State, attempts int, err error) {
	var alone []*waiter
	// Change may panic, or end the goroutine: the others must not wait for it.
	defer func() { t.giveBack(append(alone, taken...)) }()

	over := time.NewTimer(patience)
	defer over.Stop()
	var own error
	all := func(ctx context.Context, base *record.State) (envelope.Metadata, envelope.Values, bool, error) {
		var sum made
		if sum.md, sum.vals, sum.write, own = change(ctx, base); own != nil {
			return sum.md, sum.vals, false, errAlone
		}
		next := *base
		over.Reset(patience)
		for _, w := range slices.Clone(taken) {
			if sum.write {
				next.Meta, next.Values = sum.md, sum.vals
			}
			along := next // of its own: who makes the change compares pointers
			w.part.ask <- &along
			m := made{err: errAlone}
			select {
			case m = <-w.part.made:
			case <-over.C:
				over.Reset(0) // nor is any other waited for
			}
			if m.err != nil || m.gone {
				taken = slices.DeleteFunc(taken, func(o *waiter) bool { return o == w })
			}
			switch {
			case m.gone:
			case m.err != nil:
				alone = append(alone, w)
			case m.write:
				sum = m
			}
		}
		return sum.md, sum.vals, sum.write, nil
	}
	st, attempts, err = e.write(ctx, base, all, false)
	switch {
	case own != nil:
		return base, attempts, own
	case err != nil && Refused(err) && len(taken) > 0: // nothing was written
		return base, attempts, errAlone
	}
	for _, w := range taken {
		w.part.done <- outcome{st, attempts, err}
	}
	taken = nil
	return st, attempts, err
}
