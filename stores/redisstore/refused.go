package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long calls wait on when Redis has refused a connection.
const patience = 50 * time.Millisecond

// refusals end the calls that wait for a server that refuses connections: nobody
// listens there, which the first dial tells within a millisecond. go-redis dials
// five times for each of four attempts, with pauses between them, and answers
// after 1.8 seconds.
//
// It dials in goroutines of its own, so nothing tells for which call a dial was.
// What ends is therefore whatever waits, unless something was heard from Redis
// within the patience: a reply to any call, or a connection. In a Cluster of which
// one node is down, the calls to the others go on as long as they are answered.
type refusals struct {
	mu      sync.Mutex
	waiting map[context.Context]context.CancelFunc
	last    *refusal // since which nothing was heard; nil where there is none
	err     error    // that ended the calls which were given up
}

type refusal struct{ err error }

// enter notes a call that waits.
func (r *refusals) enter(ctx context.Context, cancel context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(map[context.Context]context.CancelFunc)
	}
	r.waiting[ctx] = cancel
}

// leave notes that a call has ended with err. It returns the refusal if it was for
// that.
func (r *refusals) leave(ctx context.Context, err error) error {
	_, answered := errors.AsType[redis.Error](err)
	heard := err == nil || answered
	r.mu.Lock()
	defer r.mu.Unlock()
	if heard {
		r.last = nil
	}
	if _, waits := r.waiting[ctx]; !waits {
		return r.err
	}
	delete(r.waiting, ctx)
	return nil
}

// dialed notes the outcome of a dial.
func (r *refusals) dialed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.last = nil
	case errors.Is(err, syscall.ECONNREFUSED) && r.last == nil:
		last := &refusal{err}
		r.last = last
		time.AfterFunc(patience, func() { r.giveUp(last) })
	}
}

// giveUp ends the calls that wait, if nothing was heard since.
func (r *refusals) giveUp(since *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != since {
		return
	}
	r.last, r.err = nil, since.err
	for ctx, cancel := range r.waiting {
		delete(r.waiting, ctx)
		cancel()
	}
}

// watch lets r know of client's dials. An [redis.AutoPipeliner] of a Cluster has no
// way to its nodes.
func (r *refusals) watch(client redis.UniversalClient) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(r) })
		return
	}
	client.AddHook(r)
}

// DialHook implements [redis.Hook].
func (r *refusals) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		r.dialed(err)
		return conn, err
	}
}

// ProcessHook implements [redis.Hook]; it adds nothing.
func (r *refusals) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements [redis.Hook]; it adds nothing.
func (r *refusals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
