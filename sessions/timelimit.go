package sessions

import (
	"context"
	"sync"
	"time"
)

// timeLimit is the context of a commit: it has its request's values, is not cancelled
// with it, and ends after a time. Its timer starts when somebody asks for Done, which
// who has an earlier limit of its own never does: two microseconds for every commit.
type timeLimit struct {
	context.Context // until the timer starts; not cancelled
	ends            time.Time

	mu     sync.Mutex
	timer  context.Context
	cancel context.CancelFunc
	over   bool // nobody waits any more
}

// newTimeLimit returns a context that ends after d, and with stop.
func newTimeLimit(ctx context.Context, d time.Duration) *timeLimit {
	return &timeLimit{Context: context.WithoutCancel(ctx), ends: time.Now().Add(d)}
}

func (t *timeLimit) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.cancel != nil {
		t.cancel()
	}
}

func (t *timeLimit) Deadline() (time.Time, bool) { return t.ends, true }

func (t *timeLimit) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		t.timer, t.cancel = context.WithDeadline(t.Context, t.ends)
		if t.over {
			t.cancel()
		}
	}
	return t.timer.Done()
}

func (t *timeLimit) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.timer != nil:
		return t.timer.Err()
	case t.over:
		return context.Canceled
	case !time.Now().Before(t.ends):
		return context.DeadlineExceeded
	}
	return nil
}

// Value asks the timer's context, once there is one: package context finds there how
// to end what is derived from this one without a goroutine.
func (t *timeLimit) Value(key any) any {
	t.mu.Lock()
	ctx := t.Context
	if t.timer != nil {
		ctx = t.timer
	}
	t.mu.Unlock()
	return ctx.Value(key)
}
