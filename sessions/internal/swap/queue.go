package swap

import (
	"context"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// queue lets the writes of one session go one after the other within this
// process. So a record needs only one mark for each process, and of n requests
// that change a session at once each finds what the one before it has written:
// that costs n saves, where compare-and-swap alone costs n conflicts for each.
type queue struct {
	keyed[line] // of those who have the turn
}

// line is who waits behind the one that has the turn.
type line struct{ first, last *waiter }

type waiter struct {
	turn chan *record.State // 1; what the one before has written, or nil
	next *waiter
	gone bool  // it does not wait any more
	part *part // what another may write along; nil where nobody may
}

// turn is the right to write one session's record.
type turn struct {
	lane *lane[line]
	key  stores.Key
}

// enter waits for the turn of key, for limit at most, and returns the state that the one before has
// written, if there was one. leave must be called once if err is nil.
func (q *queue) enter(ctx context.Context, key stores.Key, limit time.Duration) (t turn, handed *record.State, err error) {
	t, handed, _, err = q.join(ctx, key, limit, nil, nil)
	return t, handed, err
}

// join is enter for who would write what change makes of base. Where another has
// written it along, there is an outcome, and no turn.
func (q *queue) join(ctx context.Context, key stores.Key, limit time.Duration, base *record.State, change Change) (t turn, handed *record.State, out *outcome, err error) {
	l := q.lane(key)
	t = turn{l, key}
	l.mu.Lock()
	waiting := l.find(key)
	if waiting == nil {
		l.add(key, line{})
		l.mu.Unlock()
		return t, nil, nil, nil
	}
	w := &waiter{turn: make(chan *record.State, 1)}
	p := new(part) // whom nobody asks
	if change != nil {
		p = newPart(base, change)
		w.part = p
	}
	if waiting.last == nil {
		waiting.first = w
	} else {
		waiting.last.next = w
	}
	waiting.last = w
	l.mu.Unlock()

	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	over := wait.Done()
	for {
		select {
		case handed = <-w.turn:
			return t, handed, nil, nil
		case base := <-p.ask:
			t.answer(ctx, w, p, base)
			continue
		case o := <-p.done:
			if o.attempts == 0 {
				return turn{}, nil, nil, o.err
			}
			return turn{}, nil, &o, nil
		case <-over:
		}
		l.mu.Lock()
		select {
		case handed = <-w.turn: // at the same moment
			l.mu.Unlock()
			return t, handed, nil, nil
		default:
		}
		if w.part == nil || !p.taken {
			w.gone = true
			l.mu.Unlock()
			return turn{}, nil, nil, wait.Err()
		}
		// It is being written: only who does it knows what becomes of it, and has
		// a time limit too.
		p.late, over = true, nil
		l.mu.Unlock()
	}
}

// leave hands the turn on, with the live record that was written, or nil.
func (t turn) leave(written *record.State) {
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	waiting := t.lane.find(t.key)
	for w := waiting.first; w != nil; w = w.next {
		if !w.gone {
			if waiting.first = w.next; w.next == nil {
				waiting.last = nil
			}
			w.turn <- written
			return
		}
	}
	t.lane.remove(t.key)
}
