package redisstore

import (
	"context"
	"sync"
	"time"
)

// A server that refuses connections is known to be down at once, but go-redis
// tries five times within half a second, and for reading starts again after
// that. A call that still waits after patience knocks by itself, and gives up
// where nobody opens. One that has its connection does not notice.
const (
	patience = 150 * time.Millisecond
	knocking = 50 * time.Millisecond  // how long one knock may take
	recently = 100 * time.Millisecond // for how long its outcome is good
)

// door tells whether the server takes connections. However many calls ask, it
// dials ten times a second at most.
type door struct {
	dial func(context.Context) error

	mu   sync.Mutex
	at   time.Time
	last error
}

// closed returns the error of a dial that failed, but not where it took long:
// the server may be slow.
func (d *door) closed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) < recently {
		return d.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), knocking)
	defer cancel()
	d.last = d.dial(ctx)
	if ctx.Err() != nil {
		d.last = nil
	}
	d.at = time.Now()
	return d.last
}
