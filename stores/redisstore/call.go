package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// call is one call of a method: its time limit, and what its errors mean.
type call struct {
	ctx    context.Context // ends no later than the limit
	caller context.Context
	limit  time.Duration
	window *window
	timed  timed

	// Where the caller's deadline comes first, the call needs timers of its own.
	cancel context.CancelFunc
	knock  *time.Timer
	closed error // set before cancel
}

func (s *Store) begin(ctx context.Context) (*call, error) {
	now := time.Now()
	if err := ended(ctx, now); err != nil {
		return nil, err
	}
	c := &call{caller: ctx, limit: s.timeout, window: s.enter(now)}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(c.window.ends) {
		c.ctx, c.cancel = context.WithCancel(ctx)
		if d := s.client.door; d != nil {
			c.knock = time.AfterFunc(patience, func() {
				if err := d.closed(); err != nil {
					c.closed = err
					c.cancel()
				}
			})
		}
		return c, nil
	}
	c.timed = timed{ctx, c.window}
	c.ctx = &c.timed
	return c, nil
}

func (c *call) end() {
	c.window.calls.Add(-1)
	if c.cancel != nil {
		c.cancel()
	}
	if c.knock != nil {
		c.knock.Stop()
	}
}

// refused returns why the server takes no connections, where it is known.
func (c *call) refused() error {
	switch {
	case c.ctx.Err() != context.Canceled:
		return nil
	case c.cancel != nil:
		return c.closed
	}
	return c.window.refused
}

// failed returns what a failure is to the caller: the error of the caller's
// context if that has ended, and otherwise one that wraps
// [stores.ErrUnavailable] and the cause.
func (c *call) failed(err error) error {
	now := time.Now()
	if err := ended(c.caller, now); err != nil {
		return err
	}
	refused := c.refused()
	switch {
	case refused != nil:
		return fmt.Errorf("%w: redis takes no connections: %w", stores.ErrUnavailable, refused)
	case ended(c.ctx, now) != nil:
		if !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return fmt.Errorf("%w: redis did not answer within %v: %w", stores.ErrUnavailable, c.limit, err)
	}
	if redis.HasErrorPrefix(err, "OOM") { // nothing was executed
		return fmt.Errorf("%w: %w: redis: %w", stores.ErrUnavailable, stores.ErrFull, err)
	}
	return fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, err)
}

// ended returns ctx's own error if it has ended. A connection's deadline, which
// the client takes from ctx, can strike a moment before ctx knows.
func ended(ctx context.Context, now time.Time) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); err == nil && ok && !now.Before(deadline) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("redisstore: the caller's context ended: %w", err)
	}
	return nil
}
