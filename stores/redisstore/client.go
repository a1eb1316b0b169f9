package redisstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/redis/go-redis/v9"
)

// client is what sends the commands. None of its calls outlasts its context by
// more than a moment, and none takes a goroutine of its own.
type client struct {
	direct   redis.UniversalClient // one of the two
	async    *redis.AutoPipeliner
	plainGet bool // the primary answers a GET, and no cache
	door     *door
	replicas replicas
}

// newClient finds the way to keep the time limit with c.
func newClient(c redis.UniversalClient, limit time.Duration) (client, error) {
	// A nil *redis.Client in the interface would panic in the first request.
	if v := reflect.ValueOf(c); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return client{}, errors.New("redisstore: the client is nil; make one with redis.NewUniversalClient")
	}
	switch c := c.(type) {
	case *redis.Client:
		o := c.Options()
		if !o.ContextTimeoutEnabled || o.ReadTimeout < 0 || o.WriteTimeout < 0 {
			// The copy has the same connections and options of its own. Without
			// the last line it would stop when the time limit is over, counted
			// from when it has a connection; with it at the deadline of the call.
			c = c.WithTimeout(limit)
			o = c.Options()
			o.ContextTimeoutEnabled = true
		}
		return client{
			direct:   c,
			plainGet: o.ClientSideCache == nil && o.ClientSideCacheConfig == nil,
			door: &door{dial: func(ctx context.Context) error {
				conn, err := o.Dialer(ctx, o.Network, o.Addr)
				if err == nil {
					conn.Close()
				}
				return err
			}},
		}, nil
	case *redis.ClusterClient:
		o := c.Options()
		if !o.ContextTimeoutEnabled || o.ReadTimeout < 0 || o.WriteTimeout < 0 {
			return client{}, errors.New("redisstore: this redis.ClusterClient waits on after a call's time is over; set ContextTimeoutEnabled, and no negative ReadTimeout or WriteTimeout, in its options")
		}
		return client{direct: c, plainGet: !o.ReadOnly}, nil
	case *redis.AutoPipeliner:
		// Of the blocking kind a call can't be left behind; of the other it can.
		if c.IsBlocking() {
			async, err := c.AsyncAutoPipeline()
			if err != nil {
				return client{}, fmt.Errorf("redisstore: the client of the AutoPipeliner gives no AsyncAutoPipeline: %w", err)
			}
			c = async
		}
		return client{async: c}, nil
	case *redis.Ring:
		return client{}, errors.New("redisstore: a redis.Ring looks for the sessions of a failed server on the others, so that an outage looks like a logout; use a redis.ClusterClient")
	}
	return client{}, fmt.Errorf("redisstore: a %T may wait on after a call's time is over; use a redis.Client, redis.ClusterClient or redis.AutoPipeliner", c)
}

// do runs one command and returns its error. After that of the context the
// command may still be under way and must not be looked at.
func (c *client) do(ctx context.Context, cmd redis.Cmder) error {
	if c.async != nil {
		return c.submit(ctx, cmd)
	}
	err := c.direct.Process(ctx, cmd)
	c.unreached(ctx, err)
	return err
}

// submit runs a command in a pipeline with others'.
//
// What may be sent again goes out like what may not, at first: of a batch that has
// both go-redis makes a pipeline of each run of the one or the other, one after the
// other, so that loads and saves by turns would be hardly more than one command each.
func (c *client) submit(ctx context.Context, cmd redis.Cmder) error {
	err := c.async.Submit(ctx, single{cmd}).WaitContext(ctx)
	if err == nil || ctx.Err() != nil || cmd.NoRetry() {
		return err
	}
	if _, reply := errors.AsType[redis.Error](err); reply {
		return err
	}
	cmd.SetErr(nil)
	return c.async.Submit(ctx, cmd).WaitContext(ctx)
}

// single is a command that go-redis sends once.
type single struct{ redis.Cmder }

// NoRetry overrides that of the command.
func (single) NoRetry() bool { return true }

// Clone overrides that of the command.
func (s single) Clone() redis.Cmder { return single{s.Cmder.Clone()} }

// unreached lets a Cluster's client ask who has the slots now, where a node could not
// be reached: it does so by itself when a node says so, which one that is dead does
// not, or after ten seconds.
func (c *client) unreached(ctx context.Context, err error) {
	if err == nil {
		return
	}
	cluster, ok := c.direct.(*redis.ClusterClient)
	if _, reply := errors.AsType[redis.Error](err); ok && !reply {
		cluster.ReloadState(ctx) // in the background, and not again while that goes on
	}
}

// safe runs a command about a key, waits until the replicas have what it wrote, and
// returns its error.
func (c *client) safe(ctx context.Context, name string, cmd redis.Cmder) error {
	if c.replicas.n == 0 {
		return c.do(ctx, cmd)
	}
	if err := c.replicated(ctx, []string{name}, []redis.Cmder{cmd}); err != nil {
		return err
	}
	return cmd.Err()
}

// all runs commands about these keys in one round trip for each node. After an
// error none of them must be looked at; else each has its own.
func (c *client) all(ctx context.Context, names []string, cmds []redis.Cmder) error {
	if c.replicas.n > 0 {
		return c.replicated(ctx, names, cmds)
	}
	if c.async == nil {
		_, err := c.direct.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, cmd := range cmds {
				p.Process(ctx, cmd) // queues it
			}
			return nil
		})
		var reply redis.Error
		if errors.As(err, &reply) {
			return nil // one of the commands has it
		}
		c.unreached(ctx, err)
		return err
	}
	futures := make([]redis.AutoFuture, len(cmds))
	for i, cmd := range cmds {
		futures[i] = c.async.Submit(ctx, cmd)
	}
	for _, future := range futures {
		if err := future.WaitContext(ctx); err != nil && err == ctx.Err() {
			return err
		}
	}
	return nil
}
