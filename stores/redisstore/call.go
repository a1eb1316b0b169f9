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
	ctx    context.Context // ends with the caller's, and no later than the limit
	cancel context.CancelFunc
	caller context.Context
	limit  time.Duration

	knock   *time.Timer // none for a client without a door
	refused error       // set before cancel
}

func (s *Store) begin(ctx context.Context) (*call, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	c := &call{caller: ctx, limit: s.timeout}
	c.ctx, c.cancel = context.WithTimeout(ctx, s.timeout)
	if s.client.door != nil {
		c.knock = time.AfterFunc(patience, func() {
			if err := s.client.door.closed(); err != nil {
				c.refused = err
				c.cancel()
			}
		})
	}
	return c, nil
}

func (c *call) end() {
	c.cancel()
	if c.knock != nil {
		c.knock.Stop()
	}
}

// failed returns what a failure is to the caller: the error of the caller's
// context if that has ended, and otherwise one that wraps
// [stores.ErrUnavailable] and the cause.
func (c *call) failed(err error) error {
	if err := ended(c.caller); err != nil {
		return err
	}
	switch {
	case c.ctx.Err() == context.Canceled:
		return fmt.Errorf("%w: redis takes no connections: %w", stores.ErrUnavailable, c.refused)
	case ended(c.ctx) != nil:
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
