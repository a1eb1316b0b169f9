package memstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// owners is the index of owners. It has one lock: it is asked at logins and
// logouts, not at every request.
type owners struct {
	mu sync.Mutex
	m  map[stores.OwnerKey]*owner
}

type owner struct {
	entries    map[stores.Key]stores.Entry
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

// sweep removes what has ended of one owner, and the owner where nothing is
// left. It needs o.mu.
func (o *owners) sweep(k stores.OwnerKey, now time.Time) {
	w := o.m[k]
	if w == nil {
		return
	}
	for key, e := range w.entries {
		if !e.Deadline.After(now) {
			delete(w.entries, key)
		}
	}
	if len(w.entries) == 0 && !w.epochUntil.After(now) {
		delete(o.m, k)
	}
}

// AddEntry implements [stores.OwnerIndex]. Besides its own owner it sweeps two
// others, so that owners who never come back do not pile up.
func (s *Store) AddEntry(_ context.Context, k stores.OwnerKey, e stores.Entry) error {
	now := time.Now()
	e.Data, e.Expires = bytes.Clone(e.Data), time.Time{}
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	swept := 0
	for other := range s.owners.m { // begins anywhere
		if swept++; swept > 2 {
			break
		}
		s.owners.sweep(other, now)
	}
	s.owners.sweep(k, now)
	s.owners.get(k).entries[e.Key] = e
	return nil
}

// Entries implements [stores.OwnerIndex].
func (s *Store) Entries(_ context.Context, k stores.OwnerKey) ([]stores.Entry, error) {
	now := time.Now()
	s.owners.mu.Lock()
	s.owners.sweep(k, now)
	var list []stores.Entry
	if w := s.owners.m[k]; w != nil {
		for _, e := range w.entries {
			e.Data = bytes.Clone(e.Data)
			list = append(list, e)
		}
	}
	s.owners.mu.Unlock()

	for i := range list {
		key := list[i].Key
		sh := s.shard(key)
		sh.mu.Lock()
		if e, err := sh.live(key, now.UnixMicro()); err == nil {
			list[i].Expires = time.UnixMicro(e.expires)
		}
		sh.mu.Unlock()
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
			delete(w.entries, key)
		}
	}
	s.owners.sweep(k, now)
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
