package redisstore

import (
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// seen remembers which revisions this process has written or was given by the
// primary, so that no cache and no replica shows it an older one afterwards: who
// has logged out here is not logged in on the next page.
type seen struct {
	keep time.Duration // for how long, at least

	mu          sync.RWMutex
	turned      time.Time
	now, before map[stores.Key][markSize]byte
}

func newSeen(keep time.Duration) *seen {
	return &seen{keep: keep, turned: time.Now(), now: make(map[stores.Key][markSize]byte)}
}

func (s *seen) note(key stores.Key, rev stores.Revision) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.turned) > s.keep {
		s.turned, s.before, s.now = time.Now(), s.now, make(map[stores.Key][markSize]byte)
	}
	s.now[key] = [markSize]byte([]byte(rev))
}

// other tells whether the revision that was seen last is another one. Whether it
// is a newer one only the primary knows.
func (s *seen) other(key stores.Key, rev stores.Revision) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, ok := s.now[key]
	if !ok {
		last, ok = s.before[key]
	}
	return ok && string(last[:]) != string(rev)
}
