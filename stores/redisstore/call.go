package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// call runs f within s's time limit. f must not use what belongs to the caller:
// where the client may wait on after its context has ended, f runs apart, and may
// outlast this call.
func call[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (T, error) {
	if s.direct {
		return within(ctx, s, f)
	}
	return within(ctx, s, func(ctx context.Context) (T, error) { return apart(ctx, s.workers, f) })
}

// eval runs a script on one key.
func (s *Store) eval(ctx context.Context, script *redis.Script, name string, args ...any) (*redis.Cmd, error) {
	// Saves of one session go one after the other; marks.go says why.
	turn := func(context.Context) (done func(), err error) { return func() {}, nil }
	if script == saveScript {
		turn = func(ctx context.Context) (func(), error) { return s.turns.await(ctx, name) }
	}
	run := func(ctx context.Context) (*redis.Cmd, error) {
		done, err := turn(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		cmd := script.Run(ctx, s.client, []string{name}, args...)
		return cmd, cmd.Err()
	}
	if s.async == nil {
		return call(ctx, s, run)
	}
	// Here the wait ends with its context, so that the goroutine that has the
	// request can do it.
	return within(ctx, s, func(ctx context.Context) (*redis.Cmd, error) {
		done, err := turn(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		all := make([]any, 0, 8)
		all = append(append(all, "evalsha", script.Hash(), 1, name), args...)
		cmd := redis.NewCmd(ctx, all...)
		cmd.SetFirstKeyPos(3) // where a Cluster finds the key
		err = s.async.Submit(ctx, cmd).WaitContext(ctx)
		if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			turn = func(context.Context) (func(), error) { return func() {}, nil } // it has it
			return apart(ctx, s.workers, run)
		}
		return cmd, err
	})
}

// within gives f a context that ends with ctx, no later than s's time limit, and
// soon where the server refuses connections. An error is that of ctx if ctx has
// ended, and otherwise wraps [stores.ErrUnavailable] and its cause.
func within[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ended(ctx); err != nil {
		return none, err
	}
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	s.refusals.enter(inner, cancel)
	value, err := f(inner)
	refused := s.refusals.leave(inner, err)
	if err == nil {
		return value, nil
	}
	if err := ended(ctx); err != nil {
		return none, err
	}
	if refused != nil {
		return none, fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, refused)
	}
	if ended(inner) != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return none, fmt.Errorf("%w: redis did not answer within %v: %w", stores.ErrUnavailable, s.timeout, err)
	}
	return none, fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, err)
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
