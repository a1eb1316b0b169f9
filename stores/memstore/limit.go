package memstore

import (
	"fmt"
	"sync/atomic"

	"github.com/bulla-go/bulla/stores"
)

// errFull: the store is at its limit and everything in it is live. It is made
// once: who fills the store makes it say so very often.
var errFull = fmt.Errorf("%w: %w: no room for a new session; raise WithMaxSessions or shorten the lifetime", stores.ErrUnavailable, stores.ErrFull)

// limit counts the records in all shards, live or expired.
type limit struct {
	max     int64 // for newcomers
	reserve int64 // above it, for those who have a session
	held    atomic.Int64
}

// take takes one place if there is one.
func (l *limit) take(continues bool) bool {
	room := l.max
	if continues {
		room += l.reserve
	}
	if l.held.Add(1) > room {
		l.held.Add(-1)
		return false
	}
	return true
}

// release gives one place back.
func (l *limit) release() { l.held.Add(-1) }
