package memstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// DefaultMaxSessions is the limit without [WithMaxSessions].
const DefaultMaxSessions = 1 << 20

// DefaultMaxRecord is the limit without [WithMaxRecord]: 1 MiB.
const DefaultMaxRecord = 1 << 20

// ErrFull: the store is at its limit and every session in it is live. It comes
// wrapped together with [stores.ErrUnavailable].
var ErrFull = errors.New("memstore: full")

// Store is a [stores.Store] in memory. It is safe for concurrent use. The zero
// Store is not usable; see [New].
//
// Its methods never wait for anything but a lock that is held for
// microseconds, so they ignore the context.
type Store struct {
	shards [64]shard
	limit  limit
	size   int           // the largest record
	writes atomic.Uint64 // what the last revision was made of
	owners owners
}

// limit counts the records in all shards, live or expired.
type limit struct {
	max  int64
	held atomic.Int64
}

// take takes one place if there is one. For a successor there is a reserve: it is
// needed for a moment, until the old record goes, and by as many sessions as
// change their ID at once.
func (l *limit) take(successor bool) bool {
	most := l.max
	if successor {
		most += 16 + l.max/64
	}
	if l.held.Add(1) > most {
		l.held.Add(-1)
		return false
	}
	return true
}

// release gives one place back.
func (l *limit) release() { l.held.Add(-1) }

// Option changes what [New] makes.
type Option func(*options) error

// options, and not the Store, are what an Option changes, so that none can be
// applied to a store that is running.
type options struct {
	max  int64
	size int
}

// WithMaxSessions limits the store to n sessions, in place of
// [DefaultMaxSessions]. A limit there must be: whoever can make a server begin
// sessions could otherwise fill its memory. A session that changes its ID still
// can when the store is full. The lists of owners have twice as many entries at
// most; a login that finds no room there fails as a new session does.
func WithMaxSessions(n int) Option {
	return func(o *options) error {
		// A shard counts with 32 bits.
		if n < 1 || int64(n) > math.MaxUint32 {
			return fmt.Errorf("memstore: WithMaxSessions(%d): the limit must be from 1 to %d", n, uint32(math.MaxUint32))
		}
		o.max = int64(n)
		return nil
	}
}

// WithMaxRecord limits one record to so many bytes, in place of
// [DefaultMaxRecord]. A longer one is [stores.ErrTooLarge].
func WithMaxRecord(bytes int) Option {
	return func(o *options) error {
		if bytes < 1 {
			return fmt.Errorf("memstore: WithMaxRecord(%d): the limit must be 1 or more", bytes)
		}
		o.size = bytes
		return nil
	}
}

// New returns an empty store.
func New(opts ...Option) (*Store, error) {
	o := options{max: DefaultMaxSessions, size: DefaultMaxRecord}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	s := &Store{limit: limit{max: o.max}, size: o.size}
	// Revisions can outlive the process in a client's cookie. A random start
	// keeps them from meeting those of this store.
	var start [8]byte
	rand.Read(start[:])
	s.writes.Store(binary.BigEndian.Uint64(start[:]))
	for i := range s.shards {
		s.shards[i].init(&s.limit)
	}
	return s, nil
}

// Describe implements [stores.Describer]. The records do not leave the
// process, so encryption is optional.
func (s *Store) Describe() stores.Info {
	return stores.Info{Name: "memory", Sealing: stores.SealOptional, NoIO: true}
}

// Len returns the number of records that the store holds. It counts expired
// ones until they are swept.
func (s *Store) Len() int { return int(s.limit.held.Load()) }

// Load implements [stores.Store].
func (s *Store) Load(_ context.Context, tok stores.Token) (stores.Record, error) {
	key := tok.ID.Key()
	now := time.Now().UnixMicro()

	sh := s.shard(key)
	sh.mu.Lock()
	e, err := sh.live(key, now)
	if err != nil {
		sh.mu.Unlock()
		return stores.Record{}, err
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

// Save implements [stores.Store]. A new session in a full store is refused with
// an error that wraps [ErrFull] and [stores.ErrUnavailable], a record over the
// limit with [stores.ErrTooLarge].
func (s *Store) Save(_ context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return stores.Token{}, "", err
	}
	if len(rec.Data) > s.size {
		return stores.Token{}, "", fmt.Errorf("%w: the record has %d bytes, the store allows %d; keep less in the session, or raise WithMaxRecord", stores.ErrTooLarge, len(rec.Data), s.size)
	}
	var (
		key   = tok.ID.Key()
		now   = time.Now().UnixMicro()
		fresh = entry{key: key, value: s.value(rec.Data), expires: rec.Expires.UnixMicro()}
		sh    = s.shard(key)
		err   error
	)
	if rec.Revision != "" {
		err = sh.replace(fresh, rec.Revision, now)
	} else if err = sh.create(fresh, rec.Successor, now); errors.Is(err, ErrFull) && s.reclaim(now) {
		err = sh.create(fresh, rec.Successor, now)
	}
	if err != nil {
		return stores.Token{}, "", err
	}
	tok.Payload = "" // the client holds only the ID
	return tok, stores.Revision(fresh.value[:revisionSize]), nil
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

// Delete implements [stores.Store].
func (s *Store) Delete(_ context.Context, tok stores.Token, rev stores.Revision) error {
	key := tok.ID.Key()
	return s.shard(key).delete(key, rev, time.Now().UnixMicro())
}

// Touch implements [stores.Toucher]. The revision stays the same.
func (s *Store) Touch(_ context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	key := tok.ID.Key()
	if err := s.shard(key).touch(key, rev, expires.UnixMicro(), time.Now().UnixMicro()); err != nil {
		return "", err
	}
	return rev, nil
}

// shard returns where key belongs. Keys are hashes, so any of their bits spread
// them evenly.
func (s *Store) shard(key stores.Key) *shard {
	return &s.shards[int(key[0])%len(s.shards)]
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
