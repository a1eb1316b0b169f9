package memstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Revocations is a [stores.RevocationList] in memory: for one process, and for tests.
// With the process it forgets what has ended; the sessions that clients hold are then
// told apart from those of the next process, and end too, unless the option for that
// says otherwise (middleware.WithInsecureRevocationLoss). It is safe for concurrent
// use. The zero Revocations is not usable; see [NewRevocations].
type Revocations struct {
	mu      sync.Mutex
	max     int
	last    uint64 // the number of the last write
	entries map[stores.Key]revocation
	log     []revoked // by number; some are out of date
	swept   int       // how many there were when those were taken out
	sweptAt int64     // Unix microseconds
}

type revocation struct {
	value  string
	until  int64 // Unix microseconds
	number uint64
}

type revoked struct {
	key    stores.Key
	number uint64
}

var _ stores.RevocationList = (*Revocations)(nil)

var errManyRevocations = fmt.Errorf("%w: %w: no room in the list of what has ended; raise WithMaxRevocations or shorten the lifetime", stores.ErrUnavailable, stores.ErrFull)

// NewRevocations returns an empty list. Of the options it takes [WithMaxRevocations].
func NewRevocations(opts ...Option) (*Revocations, error) {
	o := options{maxRevocations: defaultMaxRevocations}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("memstore: an Option is nil; leave it out")
		}
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.maxSessions != 0 || o.maxRecordSize != 0 {
		return nil, errors.New("memstore: NewRevocations keeps no sessions; give WithMaxSessions and WithMaxRecordSize to New")
	}
	return &Revocations{max: o.maxRevocations, entries: make(map[stores.Key]revocation)}, nil
}

// Swap implements [stores.RevocationList].
func (r *Revocations) Swap(_ context.Context, old string, e stores.Revocation) (string, error) {
	if err := stores.CheckRevocation(old, e); err != nil {
		return "", err
	}
	now, until := time.Now().UnixMicro(), e.Until.UnixMicro()
	r.mu.Lock()
	defer r.mu.Unlock()
	there, ok := r.entries[e.Key]
	if there.until <= now {
		there, ok = revocation{}, false
	}
	switch {
	case there.value == e.Value && until <= there.until:
		return e.Value, nil
	case there.value == e.Value, there.value == old:
	default:
		return there.value, nil
	}
	if !ok && len(r.entries) >= r.max {
		// A full list must not cost each call a search.
		if now-r.sweptAt >= time.Second.Microseconds() {
			r.sweep(now)
		}
		if len(r.entries) >= r.max {
			return "", errManyRevocations
		}
	}
	r.last++
	r.entries[e.Key] = revocation{e.Value, max(until, there.until), r.last}
	r.log = append(r.log, revoked{e.Key, r.last})
	if len(r.log) > 2*r.swept+1024 {
		r.sweep(now)
	}
	return e.Value, nil
}

// sweep takes out what is over, and of the log what has been written again. It comes
// after as many writes as it found the last time, so a write pays for a few entries.
func (r *Revocations) sweep(now int64) {
	r.log = slices.DeleteFunc(r.log, func(l revoked) bool {
		e, ok := r.entries[l.key]
		if ok && e.until <= now {
			delete(r.entries, l.key)
			ok = false
		}
		return !ok || e.number != l.number
	})
	r.swept, r.sweptAt = len(r.log), now
}

// Get implements [stores.RevocationList].
func (r *Revocations) Get(_ context.Context, keys ...stores.Key) ([]string, error) {
	now := time.Now().UnixMicro()
	values := make([]string, len(keys))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, key := range keys {
		if e := r.entries[key]; e.until > now {
			values[i] = e.value
		}
	}
	return values, nil
}

// revocationsPage is how many entries a Since looks at with the lock held.
const revocationsPage = 10_000

// Since implements [stores.RevocationList].
func (r *Revocations) Since(_ context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	var last uint64
	if after != "" {
		var err error
		if last, err = strconv.ParseUint(string(after), 10, 64); err != nil {
			return stores.RevocationPage{}, fmt.Errorf("%w: the cursor is none of this list's", stores.ErrUnavailable)
		}
	}
	now := time.Now().UnixMicro()
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.log, last, func(l revoked, last uint64) int {
		if l.number <= last {
			return -1
		}
		return 1
	})
	page := stores.RevocationPage{Next: after}
	for ; i < len(r.log); i++ {
		if page.More = len(page.Entries) == revocationsPage; page.More {
			break
		}
		l := r.log[i]
		page.Next = stores.Cursor(strconv.FormatUint(l.number, 10))
		if e := r.entries[l.key]; e.number == l.number && e.until > now {
			page.Entries = append(page.Entries, stores.Revocation{Key: l.key, Value: e.value, Until: time.UnixMicro(e.until)})
		}
	}
	return page, nil
}

// Len returns the number of entries. It counts those that are over until they are
// swept.
func (r *Revocations) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}
