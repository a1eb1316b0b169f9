package redisstore

import (
	"context"
	"sync"
	"time"
)

// linger is how often the workers that have nothing to do are sent away.
const linger = time.Second

// workers are goroutines for calls that may have to be left behind. They are
// used again, since a new goroutine's stack has to grow through all of go-redis,
// by copying. There are as many as there were calls at once, and none soon after
// the last call, so nothing has to be closed.
type workers struct {
	jobs  chan func() // nil sends a worker away
	mu    sync.Mutex
	count int
}

func newWorkers() *workers { return &workers{jobs: make(chan func())} }

// do runs f in a goroutine that has nothing to do, or a new one.
func (w *workers) do(f func()) {
	select {
	case w.jobs <- f:
		return
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count++; w.count == 1 {
		time.AfterFunc(linger, w.thin)
	}
	go w.work(f)
}

func (w *workers) work(f func()) {
	for f != nil {
		f()
		f = <-w.jobs
	}
}

// thin sends the idle ones away, and comes again while there are others.
func (w *workers) thin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		select {
		case w.jobs <- nil:
			w.count--
			continue
		default:
		}
		if w.count > 0 {
			time.AfterFunc(linger, w.thin)
		}
		return
	}
}

type result[T any] struct {
	value    T
	err      error
	panicked any
}

// apart runs f on one of the workers, and leaves it there when ctx ends.
func apart[T any](ctx context.Context, w *workers, f func(context.Context) (T, error)) (T, error) {
	done := make(chan result[T], 1)
	w.do(func() {
		var r result[T]
		// The client may have hooks that panic. Here that would end the process;
		// in the caller's goroutine, net/http ends the request.
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.value, r.err = f(ctx)
	})
	select {
	case r := <-done:
		if r.panicked != nil {
			panic(r.panicked)
		}
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
