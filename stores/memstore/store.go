package memstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Store is a [stores.Store] in memory, with a [stores.Server] that is a
// [stores.Toucher], a [stores.OwnerIndex] and a [stores.Counter] too. It is safe for concurrent use.
// The zero Store is not usable; see [New].
//
// Its methods never wait for anything but a lock that is held for
// microseconds, so they ignore the context.
type Store struct {
	shards        [64]shard
	limit         limit
	writes        atomic.Uint64 // what the last revision was made of
	maxRecordSize int
	owners        owners
}

// New returns an empty store.
func New(opts ...Option) (*Store, error) {
	o := options{maxSessions: defaultMaxSessions, maxRecordSize: defaultMaxRecordSize}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("memstore: an Option is nil; leave it out")
		}
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.maxRevocations != 0 {
		return nil, errors.New("memstore: New keeps no list of what has ended; give WithMaxRevocations to NewRevocations")
	}
	spare := max(1, o.maxSessions/reserve)
	s := &Store{
		limit:         limit{max: int64(o.maxSessions), reserve: int64(spare)},
		maxRecordSize: o.maxRecordSize,
		owners:        owners{max: o.maxSessions + spare},
	}
	// Revisions can outlive the process in a client's cookie. A random start
	// keeps them from meeting those of this store.
	var start [8]byte
	rand.Read(start[:])
	s.writes.Store(binary.BigEndian.Uint64(start[:]))
	for i := range s.shards {
		s.shards[i].limit = &s.limit
	}
	return s, nil
}

// Place implements [stores.Store]. The records do not leave the process, so
// encryption is optional.
func (s *Store) Place() stores.Place {
	return stores.Place{Name: "memory", Server: s, InProcess: true}
}

// Len returns the number of records that the store holds. It counts expired
// ones until they are swept.
func (s *Store) Len() int { return int(s.limit.held.Load()) }

// Load implements [stores.Server]. It is always fresh.
func (s *Store) Load(_ context.Context, key stores.Key, _ stores.Freshness) (stores.Record, error) {
	now := time.Now().UnixMicro()
	sh := s.shard(key)
	sh.mu.Lock()
	e := sh.live(key, now)
	if e == nil {
		sh.mu.Unlock()
		return stores.Record{}, stores.ErrNotFound
	}
	// The string never changes, so it can be copied without the lock.
	value, expires := e.value, e.expires
	sh.mu.Unlock()

	return stores.Record{
		Data:     []byte(value[revisionSize:]),
		Revision: stores.Revision(value[:revisionSize]),
		Expires:  time.UnixMicro(expires),
	}, nil
}

// Save implements [stores.Server]. A new session in a full store is refused with
// an error that wraps [stores.ErrFull] and [stores.ErrUnavailable].
func (s *Store) Save(_ context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	return s.write(key, rec, &rec.Revision)
}

// Put implements [stores.Server]. Where it replaces nothing it may be refused as
// a Save is that continues a session.
func (s *Store) Put(_ context.Context, key stores.Key, rec stores.Record) error {
	rec.Continues = true
	_, err := s.write(key, rec, nil)
	return err
}

// write writes rec over revision rev, or over anything where that is nil. What
// has expired gives its place up when it is needed.
func (s *Store) write(key stores.Key, rec stores.Record, rev *stores.Revision) (stores.Revision, error) {
	if err := s.check(rec); err != nil {
		return "", err
	}
	now := time.Now().UnixMicro()
	fresh := entry{key: key, value: s.value(rec.Data), expires: rec.Expires.UnixMicro()}
	err := s.shard(key).write(fresh, rev, rec.Continues, now)
	for err == errFull && s.reclaim(now) {
		err = s.shard(key).write(fresh, rev, rec.Continues, now)
	}
	if err != nil {
		return "", err
	}
	return fresh.revision(), nil
}

// check refuses a record that must not be written.
func (s *Store) check(rec stores.Record) error {
	if n := len(rec.Data); n > s.maxRecordSize {
		return fmt.Errorf("%w: %d bytes where %d are the limit; keep less in the session or raise memstore.WithMaxRecordSize", stores.ErrTooLarge, n, s.maxRecordSize)
	}
	return stores.CheckExpires(rec)
}

// reclaim removes the expired records of the first shard that has any, and
// tells whether there was one.
func (s *Store) reclaim(now int64) bool {
	for i := range s.shards {
		if s.shards[i].removeExpired(now) {
			return true
		}
	}
	return false
}

// Touch implements [stores.Toucher]. The revision stays the same.
func (s *Store) Touch(_ context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	if err := s.shard(key).touch(key, rev, expires.UnixMicro(), time.Now().UnixMicro()); err != nil {
		return "", err
	}
	return rev, nil
}

// shard returns where key belongs. Keys are hashes, so any of their bits spread
// them evenly.
func (s *Store) shard(key stores.Key) *shard {
	hash := key.Hash()
	return &s.shards[int(hash[0])%len(s.shards)]
}

// revisionSize is the length of a revision: 48 bits of a counter as base64url.
// They repeat after 280 million million writes, long after the record that had
// the same one was written anew or has ended.
const revisionSize = 8

// value returns a new revision followed by data. Both lie in one string,
// because a string takes two words, can be handed out without a copy of the
// revision, and needs no lock while the data is copied.
func (s *Store) value(data []byte) string {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], s.writes.Add(1))
	var rev [revisionSize]byte
	base64.RawURLEncoding.Encode(rev[:], n[2:])

	var b strings.Builder
	b.Grow(revisionSize + len(data))
	b.Write(rev[:])
	b.Write(data)
	return b.String()
}
