package redisstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// window is the time limit of the calls that began at about the same time: they
// share its timers, which cost as much as everything else that a call does here.
// It ends for all of them when it would for a call at its beginning.
type window struct {
	began, ends time.Time
	over        chan struct{} // closed where a call still waits then
	calls       atomic.Int64  // that run

	close   sync.Once
	refused error // set before over is closed
}

// grain is how long a window takes new calls, for a time limit.
func grain(limit time.Duration) time.Duration { return min(limit/20, 20*time.Millisecond) }

// enter returns a window for a call that begins now, which counts it already.
func (s *Store) enter(now time.Time) *window {
	for {
		last := s.window.Load()
		if last != nil && now.Sub(last.began) < grain(s.timeout) {
			last.calls.Add(1)
			return last
		}
		w := &window{began: now, ends: now.Add(s.timeout), over: make(chan struct{})}
		w.calls.Store(1)
		if s.window.CompareAndSwap(last, w) {
			time.AfterFunc(s.timeout, w.shut)
			if s.client.door != nil {
				time.AfterFunc(patience, func() { w.knock(s.client.door) })
			}
			return w
		}
	}
}

func (w *window) shut() {
	if w.calls.Load() > 0 {
		w.close.Do(func() { close(w.over) })
	}
}

func (w *window) knock(d *door) {
	if w.calls.Load() == 0 {
		return
	}
	if err := d.closed(); err != nil {
		w.close.Do(func() {
			w.refused = err
			close(w.over)
		})
	}
}

// timed is the context of a call: the caller's values, and the end of a window.
type timed struct {
	context.Context
	*window
}

// Deadline implements [context.Context].
func (t *timed) Deadline() (time.Time, bool) { return t.ends, true }

// Done implements [context.Context].
func (t *timed) Done() <-chan struct{} { return t.over }

// Err implements [context.Context].
func (t *timed) Err() error {
	select {
	case <-t.over:
		if t.refused != nil {
			return context.Canceled
		}
		return context.DeadlineExceeded
	default:
		return nil
	}
}
