package redisstore

import (
	"bytes"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// own is for how long a read is answered with what this process has written itself.
// Redis tells a client of its own writes too, so the cache that it keeps is empty of
// them, and requests of one session often come together: a page after its form, or
// several from one page. It is no longer than what Redis tells takes at the worst.
const own = 100 * time.Millisecond

// seen remembers which revisions this process has written or was given by the
// primary, so that no cache and no replica shows it an older one afterwards: who
// has logged out here is not logged in on the next page.
type seen struct {
	mu      sync.RWMutex
	last    recent[sight]
	written recent[stores.Record]
}

// sight is a revision, and when the server was asked for it or to write it.
type sight struct {
	mark  [markSize]byte
	asked time.Time
}

func newSeen(behind time.Duration) *seen {
	return &seen{last: recent[sight]{keep: behind}, written: recent[stores.Record]{keep: min(own, behind)}}
}

// now is the time, where it matters.
func (s *seen) now() (t time.Time) {
	if s != nil {
		t = time.Now()
	}
	return t
}

// note takes what the primary has had since it was asked. rec is there where this
// process has written it, with Data that nobody else has.
func (s *seen) note(key stores.Key, rev stores.Revision, asked time.Time, rec *stores.Record) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Of two replies that come out of order, the one that was asked for later is newer:
	// who replaces a revision knows of it.
	if last, _, ok := s.last.get(key); ok && last.asked.After(asked) {
		return
	}
	s.last.put(key, sight{[markSize]byte([]byte(rev)), asked}, asked)
	switch _, _, ok := s.written.get(key); {
	case rec != nil:
		s.written.put(key, *rec, asked)
	case ok:
		s.written.put(key, stores.Record{}, asked)
	}
}

// doubt forgets what this process has written, after a write that may have come
// between or was refused for one.
func (s *seen) doubt(key stores.Key) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, ok := s.written.get(key); ok {
		s.written.put(key, stores.Record{}, time.Time{})
	}
}

// other tells whether the revision that was seen last is another one. Whether it
// is a newer one only the primary knows.
func (s *seen) other(key stores.Key, rev stores.Revision) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, _, ok := s.last.get(key)
	return ok && string(last.mark[:]) != string(rev)
}

// mine returns what this process wrote a moment ago, if nothing else has been seen
// since.
func (s *seen) mine(key stores.Key) (stores.Record, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec, at, ok := s.written.get(key)
	now := time.Now()
	if !ok || rec.Revision == "" || now.Sub(at) >= s.written.keep || !now.Before(rec.Expires) {
		return stores.Record{}, false
	}
	rec.Data = bytes.Clone(rec.Data)
	return rec, true
}

// recent keeps values for some time at least, and not for ever.
type recent[V any] struct {
	keep        time.Duration
	turned      time.Time
	now, before map[stores.Key]dated[V]
}

type dated[V any] struct {
	value V
	at    time.Time
}

func (r *recent[V]) put(key stores.Key, v V, at time.Time) {
	if r.now == nil || time.Since(r.turned) > r.keep {
		r.turned, r.before, r.now = time.Now(), r.now, make(map[stores.Key]dated[V])
	}
	r.now[key] = dated[V]{v, at}
}

func (r *recent[V]) get(key stores.Key) (v V, at time.Time, ok bool) {
	d, ok := r.now[key]
	if !ok {
		d, ok = r.before[key]
	}
	return d.value, d.at, ok
}
