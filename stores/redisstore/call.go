package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
)

type result[T any] struct {
	value    T
	err      error
	panicked any
}

// call runs f within the limit. f runs in a goroutine of its own, because the
// client may wait on after its context has ended; f must not use what belongs
// to the caller. An error is that of ctx if ctx has ended, and otherwise wraps
// [stores.ErrUnavailable] and its cause.
func call[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ended(ctx); err != nil {
		return none, err
	}
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	done := make(chan result[T], 1)
	go func() {
		var r result[T]
		// The client may have hooks that panic. In a goroutine that would end
		// the process; in the caller's, net/http ends the request.
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.value, r.err = f(inner)
	}()

	var r result[T]
	select {
	case r = <-done:
	case <-inner.Done():
		r.err = inner.Err()
	}
	switch {
	case r.panicked != nil:
		panic(r.panicked)
	case r.err == nil:
		return r.value, nil
	}
	if err := ended(ctx); err != nil {
		return none, err
	}
	if ended(inner) != nil {
		if !errors.Is(r.err, context.DeadlineExceeded) {
			r.err = fmt.Errorf("%w: %w", context.DeadlineExceeded, r.err)
		}
		return none, fmt.Errorf("%w: redis did not answer within %v: %w", stores.ErrUnavailable, limit, r.err)
	}
	return none, fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, r.err)
}

// ended returns ctx's own error if it has ended. A connection's deadline, which
// the client takes from ctx, can strike a moment before ctx knows.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); err == nil && ok && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("redisstore: the caller's context ended: %w", err)
	}
	return nil
}
