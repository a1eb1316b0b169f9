package memstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// owners is the index of owners. It has one lock: it is asked at logins and
// logouts, not at every request.
type owners struct {
	mu   sync.Mutex
	m    map[stores.OwnerKey]*owner
	held int64 // entries of all of them
}

type owner struct {
	entries    map[stores.Key]stores.Entry
	swept      time.Time
	sweepAt    int       // entries at which they are swept again; more than the last time were left
	added      time.Time // of the latest entry
	epoch      string
	epochUntil time.Time
}

// get needs o.mu.
func (o *owners) get(k stores.OwnerKey) *owner {
	w := o.m[k]
	if w == nil {
		w = &owner{entries: make(map[stores.Key]stores.Entry)}
		if o.m == nil {
			o.m = make(map[stores.OwnerKey]*owner)
		}
		o.m[k] = w
	}
	return w
}

// minSweep keeps short lists from being swept at every login.
const minSweep = 16

// sweep removes what has ended of one owner, and the owner where nothing is
// left. It needs o.mu.
func (s *Store) sweep(k stores.OwnerKey, now time.Time) {
	w := s.owners.m[k]
	if w == nil {
		return
	}
	for key, e := range w.entries {
		if !e.Deadline.After(now) || now.Sub(e.Added) > stores.OrphanAge && s.expires(key, now).IsZero() {
			s.owners.remove(w, key)
		}
	}
	w.swept, w.sweepAt = now, max(2*len(w.entries), minSweep)
	if len(w.entries) == 0 && !w.epochUntil.After(now) {
		delete(s.owners.m, k)
	}
}

// expires returns when the record of key ends, or zero where there is none.
func (s *Store) expires(key stores.Key, now time.Time) time.Time {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, err := sh.live(key, now.UnixMicro())
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(e.expires)
}

// remove needs o.mu.
func (o *owners) remove(w *owner, key stores.Key) {
	if _, ok := w.entries[key]; ok {
		delete(w.entries, key)
		o.held--
	}
}

// AddEntry implements [stores.OwnerIndex]. Besides its own owner, now and then,
// it sweeps two others, so that owners who never come back do not pile up. In a
// full store it fails with an error that wraps [ErrFull] and
// [stores.ErrUnavailable].
func (s *Store) AddEntry(_ context.Context, k stores.OwnerKey, e stores.Entry) error {
	now := time.Now()
	e.Data, e.Expires = bytes.Clone(e.Data), time.Time{}
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	others, full := 2, s.owners.held >= s.maxEntries()
	if full {
		others = fullSweep
	}
	s.sweepOthers(others, now)
	if w := s.owners.m[k]; w != nil && (full || len(w.entries) >= w.sweepAt) {
		s.sweep(k, now)
	}
	w := s.owners.get(k)
	old, ok := w.entries[e.Key]
	switch {
	case ok:
		e.Added = old.Added
	case s.owners.held >= s.maxEntries():
		s.sweep(k, now) // an owner with nothing does not stay
		return fmt.Errorf("%w: %w: no room in the lists of owners; raise WithMaxSessions or shorten the lifetime", stores.ErrUnavailable, ErrFull)
	default:
		// Later than every other, also where the clock stands still.
		if e.Added = now; !e.Added.After(w.added) {
			e.Added = w.added.Add(1)
		}
		w.added = e.Added
		s.owners.held++
	}
	w.entries[e.Key] = e
	return nil
}

const (
	// fullSweep is how many owners a full store looks at.
	fullSweep = 64

	// sweepEvery keeps a few owners with long lists from being swept at every
	// login of another.
	sweepEvery = time.Minute
)

// sweepOthers sweeps n owners, wherever they are. It needs o.mu.
func (s *Store) sweepOthers(n int, now time.Time) {
	for k, w := range s.owners.m { // begins anywhere
		if n--; n < 0 {
			return
		}
		if now.Sub(w.swept) >= sweepEvery {
			s.sweep(k, now)
		}
	}
}

// maxEntries is the limit of the entries of all owners. A session has one, and
// the rest is for the logins that are under way, for the sessions whose ID is
// being changed, and for those that ended within the last hour.
func (s *Store) maxEntries() int64 { return 2 * s.limit.max }

// Entries implements [stores.OwnerIndex].
func (s *Store) Entries(_ context.Context, k stores.OwnerKey) ([]stores.Entry, error) {
	now := time.Now()
	s.owners.mu.Lock()
	s.sweep(k, now)
	var list []stores.Entry
	if w := s.owners.m[k]; w != nil {
		for _, e := range w.entries {
			e.Data = bytes.Clone(e.Data)
			list = append(list, e)
		}
	}
	s.owners.mu.Unlock()

	for i := range list {
		list[i].Expires = s.expires(list[i].Key, now)
	}
	return list, nil
}

// RemoveOwned implements [stores.OwnerIndex].
func (s *Store) RemoveOwned(_ context.Context, k stores.OwnerKey, keys ...stores.Key) error {
	now := time.Now()
	for _, key := range keys {
		s.shard(key).delete(key, "", now.UnixMicro())
	}
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	if w := s.owners.m[k]; w != nil {
		for _, key := range keys {
			s.owners.remove(w, key)
		}
	}
	s.sweep(k, now)
	return nil
}

// Epoch implements [stores.OwnerIndex].
func (s *Store) Epoch(_ context.Context, k stores.OwnerKey) (string, error) {
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	if w := s.owners.m[k]; w != nil {
		return w.epoch, nil
	}
	return "", nil
}

// NewEpoch implements [stores.OwnerIndex].
func (s *Store) NewEpoch(_ context.Context, k stores.OwnerKey) error {
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	w := s.owners.get(k)
	w.epoch, w.epochUntil = rand.Text(), time.Now().Add(stores.MinEpochAge)
	return nil
}
