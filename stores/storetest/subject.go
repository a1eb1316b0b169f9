package storetest

import (
	"context"
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
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// subject is the store under test, with what the checks do to it.
type subject struct {
	reporter
	t     *testing.T
	cfg   Config
	ctx   context.Context
	store stores.Store
}

func newSubject(t *testing.T, r reporter, cfg Config) *subject {
	if cfg.Advance == nil {
		cfg.Advance = time.Sleep
	}
	if cfg.ShortLife == 0 {
		cfg.ShortLife = 100 * time.Millisecond
	}
	return &subject{reporter: r, t: t, cfg: cfg, ctx: t.Context(), store: cfg.New(t)}
}

const longLife = time.Hour

// token returns the token of a new session.
func (s *subject) token() stores.Token {
	return bind(stores.NewID(), "session")
}

// bind returns a token of id for one cookie, bound as the manager binds it.
func bind(id stores.ID, cookie string) stores.Token {
	var binding []byte
	for _, part := range [][]byte{[]byte("storetest"), []byte(cookie), id.AppendSecret(nil)} {
		binding = append(binding, byte(len(part)))
		binding = append(binding, part...)
	}
	return stores.Token{ID: id, Binding: binding}
}

// record returns a record that lives long enough for every test.
func (s *subject) record(data string, rev stores.Revision) stores.Record {
	return stores.Record{
		Data:     []byte(data),
		Expires:  time.Now().Add(longLife),
		Revision: rev,
		Room:     s.cfg.ClientRoom,
	}
}

// save saves data and returns the token to load it with. It ends the test if
// that fails.
func (s *subject) save(tok stores.Token, rev stores.Revision, data string) (stores.Token, stores.Revision) {
	s.Helper()
	return s.saveRecord(tok, s.record(data, rev))
}

func (s *subject) saveRecord(tok stores.Token, rec stores.Record) (stores.Token, stores.Revision) {
	s.Helper()
	got, rev, err := s.store.Save(s.ctx, tok, rec)
	if err != nil {
		s.Fatalf("Save of %d bytes, Revision %q: %v", len(rec.Data), rec.Revision, err)
	}
	if !got.ID.Equal(tok.ID) {
		s.Fatalf("Save returned a token with another ID than it was given")
	}
	got.Binding = tok.Binding // the manager sets it before every call
	return got, rev
}

// load loads what must be there.
func (s *subject) load(tok stores.Token) stores.Record {
	s.Helper()
	rec, err := s.store.Load(s.ctx, tok)
	if err != nil {
		s.Fatalf("Load of a record that was saved: %v", err)
	}
	return rec
}

// holds tests that tok has exactly this record.
func (s *subject) holds(rule int, what string, tok stores.Token, data string, rev stores.Revision) {
	s.Helper()
	rec, err := s.store.Load(s.ctx, tok)
	switch {
	case err != nil:
		s.Errorf("rule %d: %s: Load: %v", rule, what, err)
	case string(rec.Data) != data:
		s.Errorf("rule %d: %s: the record holds %s, want %s", rule, what, abridge(rec.Data), abridge([]byte(data)))
	case rec.Revision != rev:
		s.Errorf("rule %d: %s: the record has the Revision %q, want %q", rule, what, rec.Revision, rev)
	}
}

// missing tests that tok has no record.
func (s *subject) missing(rule int, what string, tok stores.Token) {
	s.Helper()
	_, err := s.store.Load(s.ctx, tok)
	s.fails(rule, what+": Load", err, stores.ErrNotFound)
}

// sentinels exclude each other, since a caller does something else for each.
var sentinels = []error{
	stores.ErrNotFound, stores.ErrExists, stores.ErrConflict, stores.ErrUnavailable,
	stores.ErrTooLarge, stores.ErrInvalidRecord,
}

// fails tests that err is want and nothing else.
func (s *subject) fails(rule int, what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("rule %d: %s: got error %q, want %q", rule, what, text(err), want)
		return
	}
	for _, other := range sentinels {
		if other != want && errors.Is(err, other) {
			s.Errorf("rule %d: %s: the error %q wraps %q too", rule, what, err, other)
		}
	}
}

// expire leaves an expired record under tok.
func (s *subject) expire(tok stores.Token) stores.Revision {
	s.Helper()
	rec := s.record("expired", "")
	rec.Expires = time.Now().Add(s.cfg.ShortLife)
	_, rev := s.saveRecord(tok, rec)
	s.cfg.Advance(s.cfg.ShortLife * 3 / 2)
	return rev
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
