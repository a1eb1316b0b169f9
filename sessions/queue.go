package sessions

import (
	"context"
	"sync"

	"github.com/bulla-go/bulla/stores"
)

// queue lets the requests of one session that have met a conflict go one after
// the other within this process. Without it each of n requests would lose
// against all the others, and n requests would cost n² round trips.
type queue struct {
	mu    sync.Mutex
	turns map[stores.Key]*turn
}

type turn struct {
	token chan struct{} // holds one element while nobody has the turn
	users int           // waiting or having it; the last one removes the entry
}

// enter waits for the turn of key. leave must be called once if err is nil.
func (q *queue) enter(ctx context.Context, key stores.Key) (leave func(), err error) {
	q.mu.Lock()
	t := q.turns[key]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		if q.turns == nil {
			q.turns = make(map[stores.Key]*turn)
		}
		q.turns[key] = t
	}
	t.users++
	q.mu.Unlock()

	drop := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(q.turns, key)
		}
	}
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; drop() }, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}
