package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// timeLimit is how long a call may take where nobody answers: far more than
// what anybody would wait for a session, since other work on the machine must
// not look like a fault.
const timeLimit = 20 * time.Second

// unreachable tests a store whose server does not answer. The revision is one
// that the store writes, since it may know others to be none without asking.
func unreachable(s *subject) {
	key := newKey()
	rev := s.save(key, "", "one")
	s.server = s.cfg.Unreachable(s.t)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel() // so that a store that relies on it ends too
	type outcome struct {
		what string
		err  error
	}
	calls := s.calls(ctx)
	outcomes := make(chan outcome, len(calls))
	waiting := make(map[string]bool)
	for what, call := range calls {
		waiting[what] = true
		go func() { outcomes <- outcome{what, call(key, rev)} }()
	}
	limit := time.NewTimer(timeLimit)
	defer limit.Stop()
	for len(waiting) > 0 {
		select {
		case o := <-outcomes:
			delete(waiting, o.what)
			s.fails("rule 2", o.what+" while the server does not answer", o.err, stores.ErrUnavailable)
			if o.err != nil && !hasCause(o.err) {
				s.Errorf("rule 2: %s while the server does not answer: the error %q does not wrap its cause", o.what, o.err)
			}
		case <-limit.C:
			for what := range waiting {
				s.Errorf("rule 5: %s did not return for %v while the server does not answer", what, timeLimit)
			}
			return
		}
	}
	s.cancelledMidway()
}

// cancelledMidway tests that what ends a call is told apart: the caller, or the
// server that does not answer.
func (s *subject) cancelledMidway() {
	key := newKey()
	ctx, cancel := context.WithTimeout(s.ctx, time.Millisecond)
	defer cancel()
	_, err := s.server.Load(ctx, key, stores.Fresh)
	if !errors.Is(err, stores.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("rule 2: Load with a context that ends while the server does not answer: got error %q, want %q or %q",
			text(err), stores.ErrUnavailable, context.DeadlineExceeded)
	}
}

// hasCause tells whether err wraps more than stores.ErrUnavailable.
func hasCause(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return hasCause(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), hasCause)
	}
	return err != stores.ErrUnavailable
}

// lossy tests that a caller who looks loses nothing and does nothing twice.
func lossy(s *subject) {
	s.server = s.cfg.Lossy(s.t)
	s.slots(true)
}

// slots lets writers add words to one record, each of its own, as the manager
// does: whoever does not hear of success looks whether the word is there.
func (s *subject) slots(lossy bool) {
	const writers, each = 8, 4
	key := newKey()
	var mu sync.Mutex
	var want []string
	goTogether(writers, func(i int) {
		for j := range each {
			word := fmt.Sprintf("%d/%d", i, j)
			// Each at a pace of its own, so that they meet in every way.
			if err := s.addWord(key, word, time.Duration(i+1)*300*time.Microsecond, lossy); err != nil {
				s.Errorf("rule 1: %v", err)
				return
			}
			mu.Lock()
			want = append(want, word)
			mu.Unlock()
		}
	})
	rec, err := s.server.Load(s.ctx, key, stores.Fresh)
	for tries := 0; lossy && errors.Is(err, stores.ErrUnavailable) && tries < 100; tries++ {
		rec, err = s.server.Load(s.ctx, key, stores.Fresh)
	}
	if err != nil {
		s.Fatalf("rule 2: Load of a record that was written: %v", err)
	}
	got := strings.Fields(string(rec.Data))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.Errorf("rule 1: %d changes were made to one record at once, and it holds %d: a change was lost or made twice", len(want), len(got))
	}
}

// addWord adds a word to the record, with a pause before it saves what it loaded.
func (s *subject) addWord(key stores.Key, word string, pause time.Duration, lossy bool) error {
	for range 1000 {
		rec, err := s.server.Load(s.ctx, key, stores.Fresh)
		switch {
		case err == nil && slices.Contains(strings.Fields(string(rec.Data)), word):
			return nil
		case lossy && errors.Is(err, stores.ErrUnavailable):
			continue
		case errors.Is(err, stores.ErrNotFound): // the first creates it
		case err != nil:
			return fmt.Errorf("Load beside other writers: %w", err)
		}
		time.Sleep(pause)
		_, err = s.server.Save(s.ctx, key, record(string(rec.Data)+" "+word, rec.Revision))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, stores.ErrConflict), lossy && errors.Is(err, stores.ErrUnavailable):
		default:
			return fmt.Errorf("Save beside other writers: %w", err)
		}
	}
	return errors.New("Save failed 1000 times beside other writers")
}

// small fills a store and tests what must still be possible.
func small(s *subject) {
	s.server = s.cfg.Small(s.t)
	const most, watched = 50_000, 8
	data := strings.Repeat("0123456789", 100)
	type kept struct {
		key stores.Key
		rev stores.Revision
	}
	var live []kept
	for n := 0; ; n++ {
		if n == most {
			s.Fatalf("Config.Small: the store takes %d records of %d bytes", most, len(data))
		}
		key := newKey()
		rev, err := s.server.Save(s.ctx, key, record(data, ""))
		if err != nil {
			s.fails("rule 2", "Save where there is no room", err, stores.ErrUnavailable)
			break
		}
		if len(live) < watched {
			live = append(live, kept{key, rev})
		}
	}
	if len(live) < watched {
		s.Fatalf("Config.Small: the store takes only %d records", len(live))
	}
	for i, k := range live {
		s.holds("rule 3", "a live record when the store is full", k.key, data, k.rev)
		shorter := data[i:]
		rev, err := s.server.Save(s.ctx, k.key, record(shorter, k.rev))
		if err != nil {
			s.Errorf("rule 3: Save of a record that is no longer than the one that it replaces, in a full store: %v", err)
			continue
		}
		s.holds("rule 3", "after Save in a full store", k.key, shorter, rev)
		if i%2 == 0 {
			shorter = "ended"
		}
		if err := s.server.Put(s.ctx, k.key, record(shorter, "")); err != nil {
			s.Errorf("rule 3: Put of a record that is no longer than the one that it replaces, in a full store: %v", err)
			continue
		}
		s.holds("rule 3", "after Put in a full store", k.key, shorter, s.load(k.key).Revision)
	}
}
