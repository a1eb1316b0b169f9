package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// reporter is what a check needs of a testing.T. This package's own test puts a
// recorder in its place, to see the checks fail.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// subject is the store under test, with what the checks do to it.
type subject struct {
	reporter
	t      *testing.T
	cfg    Config
	ctx    context.Context
	server stores.Server
}

func newSubject(t *testing.T, r reporter, cfg Config) *subject {
	return &subject{reporter: r, t: t, cfg: cfg, ctx: t.Context(), server: cfg.New(t)}
}

const longLife = time.Hour

// newKey returns a key that no other check has.
func newKey() stores.Key {
	var hash [24]byte
	rand.Read(hash[:])
	return stores.NewKey(hash)
}

// record returns a record that lives long enough for every check.
func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(longLife), Revision: rev}
}

// save saves what must be possible to save. It ends the test if that fails.
func (s *subject) save(key stores.Key, rev stores.Revision, data string) stores.Revision {
	s.Helper()
	return s.saveRecord(key, record(data, rev))
}

func (s *subject) saveRecord(key stores.Key, rec stores.Record) stores.Revision {
	s.Helper()
	rev, err := s.server.Save(s.ctx, key, rec)
	if err != nil {
		s.Fatalf("rule 1: Save of %d bytes at Revision %q: %v", len(rec.Data), rec.Revision, err)
	}
	if rev == "" {
		s.Fatalf("rule 1: Save returned no Revision")
	}
	return rev
}

// put puts what must be possible to put, and returns its revision.
func (s *subject) put(key stores.Key, data string) stores.Revision {
	s.Helper()
	return s.putRecord(key, record(data, ""))
}

func (s *subject) putRecord(key stores.Key, rec stores.Record) stores.Revision {
	s.Helper()
	if err := s.server.Put(s.ctx, key, rec); err != nil {
		s.Fatalf("rule 3: Put of %d bytes: %v", len(rec.Data), err)
	}
	return s.load(key).Revision
}

// load loads what must be there.
func (s *subject) load(key stores.Key) stores.Record {
	s.Helper()
	rec, err := s.server.Load(s.ctx, key, stores.Fresh)
	if err != nil {
		s.Fatalf("rule 2: Load of a record that was written: %v", err)
	}
	return rec
}

// ways returns how a Load must find what was just written. A store that reads
// from replicas says so, and is asked itself alone.
func (s *subject) ways() []stores.Freshness {
	if store, ok := s.server.(stores.Store); ok && store.Place().StaleReads {
		return []stores.Freshness{stores.Fresh}
	}
	return []stores.Freshness{stores.Fresh, stores.MayBeStale}
}

// holds tests that the key has exactly this record.
func (s *subject) holds(rule, what string, key stores.Key, data string, rev stores.Revision) {
	s.Helper()
	for _, fresh := range s.ways() {
		rec, err := s.server.Load(s.ctx, key, fresh)
		switch {
		case err != nil:
			s.Errorf("%s: %s: Load: %v", rule, what, err)
		case string(rec.Data) != data:
			s.Errorf("%s: %s: the record holds %s, want %s", rule, what, abridge(rec.Data), abridge([]byte(data)))
		case rec.Revision != rev:
			s.Errorf("%s: %s: the record has the Revision %q, want %q", rule, what, rec.Revision, rev)
		}
	}
}

// missing tests that the key has no record.
func (s *subject) missing(rule, what string, key stores.Key) {
	s.Helper()
	for _, fresh := range s.ways() {
		_, err := s.server.Load(s.ctx, key, fresh)
		s.fails(rule, what+": Load", err, stores.ErrNotFound)
	}
}

// conflicts tests that a Save at rev is refused.
func (s *subject) conflicts(what string, key stores.Key, rev stores.Revision) {
	s.Helper()
	got, err := s.server.Save(s.ctx, key, record("conflicting", rev))
	s.fails("rule 1", "Save "+what, err, stores.ErrConflict)
	if err != nil && got != "" {
		s.Errorf("rule 1: Save %s: failed, and returned the Revision %q", what, got)
	}
}

// sentinels exclude each other, since a caller does something else for each.
var sentinels = []error{
	stores.ErrNotFound, stores.ErrConflict, stores.ErrUnavailable, stores.ErrTooLarge, stores.ErrInvalidRecord,
}

// fails tests that err is want and nothing else.
func (s *subject) fails(rule, what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: %s: got error %q, want %q", rule, what, text(err), want)
		return
	}
	for _, other := range sentinels {
		if other != want && errors.Is(err, other) {
			s.Errorf("%s: %s: the error %q wraps %q too", rule, what, err, other)
		}
	}
}

// expire calls write with a time in the near future, and returns when that is
// past. Where write fails, because it took so long, it is called again with more
// time.
func (s *subject) expire(what string, write func(expires time.Time) error) {
	s.Helper()
	var err error
	for _, life := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
		begun := time.Now()
		expires := begun.Add(life)
		if err = write(expires); err == nil {
			// A server may count from when the write arrived.
			time.Sleep(time.Until(expires) + time.Since(begun) + 50*time.Millisecond)
			return
		}
		time.Sleep(time.Until(expires)) // it may have been carried out
	}
	s.Fatalf("%s: %v", what, err)
}

// expired returns a key whose record is expired, and the record's revision.
func (s *subject) expired(data string) (key stores.Key, rev stores.Revision) {
	s.Helper()
	s.expire("rule 1: Save of a record that lives briefly", func(expires time.Time) (err error) {
		key = newKey()
		rev, err = s.server.Save(s.ctx, key, stores.Record{Data: []byte(data), Expires: expires})
		return err
	})
	return key, rev
}

// goTogether runs f n times at once and returns when all have ended.
func goTogether(n int, f func(i int)) {
	start, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			<-start
			f(i)
		}()
	}
	close(start)
	for range n {
		<-done
	}
}

func text(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// abridge keeps an error readable.
func abridge(data []byte) string {
	if len(data) <= 32 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%q... (%d bytes)", data[:32], len(data))
}

// scribble writes over the whole of data's array.
func scribble(data []byte) {
	data = data[:cap(data)]
	for i := range data {
		data[i] = 0xA5
	}
}
