package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// These checks are for records that the server holds.

var createChecks = []check{
	{"rule 1 create", func(s *subject) {
		tok := s.token()
		got, rev := s.save(tok, "", "one")
		if rev == "" {
			s.Errorf("rule 1: Save returned no Revision for a record that the server holds")
		}
		s.holds(1, "after the create, with the returned token", got, "one", rev)
		s.holds(1, "after the create, with the ID alone", tok, "one", rev)
		s.missing(1, "another ID after the create", s.token())
	}},
	{"rule 1 create where a record is", func(s *subject) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		_, _, err := s.store.Save(s.ctx, tok, s.record("two", ""))
		s.fails(1, "Save with no Revision where a live record is", err, stores.ErrExists)
		s.holds(1, "after the refused create", tok, "one", rev)
	}},
	{"rule 1 create over an expired record", func(s *subject) {
		tok := s.token()
		s.expire(tok)
		_, rev := s.save(tok, "", "two")
		s.holds(1, "after the create", tok, "two", rev)
	}},
}

var replaceChecks = []check{
	{"rule 2 replace", func(s *subject) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		for _, data := range []string{"two", "a longer three", "4"} {
			_, rev = s.save(tok, rev, data)
			s.holds(2, "after Save with the Revision", tok, data, rev)
		}
		_, rev = s.save(tok, s.load(tok).Revision, "five")
		s.holds(2, "after Save with the Revision from Load", tok, "five", rev)
	}},
	{"rule 2 replace an older revision", func(s *subject) {
		tok := s.token()
		_, first := s.save(tok, "", "one")
		_, second := s.save(tok, first, "two")
		_, _, err := s.store.Save(s.ctx, tok, s.record("three", first))
		s.fails(2, "Save with a Revision that was replaced", err, stores.ErrConflict)
		s.holds(2, "after the conflict", tok, "two", second)
	}},
	{"rule 2 replace with another record's revision", func(s *subject) {
		tok, other := s.token(), s.token()
		_, rev := s.save(tok, "", "one")
		_, foreign := s.save(other, "", "one")
		_, _, err := s.store.Save(s.ctx, tok, s.record("two", foreign))
		s.fails(2, "Save with another record's Revision", err, stores.ErrConflict)
		s.holds(2, "after the conflict", tok, "one", rev)
	}},
	{"rule 2 replace a deleted record", func(s *subject) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		if err := s.store.Delete(s.ctx, tok, ""); err != nil {
			s.Fatalf("rule 4: Delete: %v", err)
		}
		_, _, err := s.store.Save(s.ctx, tok, s.record("two", rev))
		s.fails(2, "Save with the Revision of a deleted record", err, stores.ErrNotFound)
		s.missing(2, "Save brought a deleted record back", tok)
	}},
	{"rule 2 replace an expired record", func(s *subject) {
		tok := s.token()
		rev := s.expire(tok)
		_, _, err := s.store.Save(s.ctx, tok, s.record("two", rev))
		s.fails(2, "Save with the Revision of an expired record", err, stores.ErrNotFound)
		s.missing(2, "Save brought an expired record back", tok)
	}},
	{"rule 2 replace a record that was created anew", func(s *subject) {
		tok := s.token()
		_, old := s.save(tok, "", "one")
		if err := s.store.Delete(s.ctx, tok, ""); err != nil {
			s.Fatalf("rule 4: Delete: %v", err)
		}
		_, rev := s.save(tok, "", "one")
		_, _, err := s.store.Save(s.ctx, tok, s.record("two", old))
		s.fails(2, "Save with the Revision from before Delete and create", err, stores.ErrConflict)
		s.holds(2, "after the conflict", tok, "one", rev)
	}},
}

var loadChecks = []check{
	{"rule 3 missing record", func(s *subject) {
		s.missing(3, "an ID that has no record", s.token())
	}},
	{"rule 3 expired record", func(s *subject) {
		tok := s.token()
		s.expire(tok)
		s.missing(3, "an expired record", tok)
	}},
	{"rule 3 ended context", func(s *subject) {
		cancelled, cancel := context.WithCancel(s.ctx)
		cancel()
		s.contextError(cancelled, context.Canceled)
		late, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
		defer cancel()
		s.contextError(late, context.DeadlineExceeded)
	}},
}

// contextError tests that calls with ctx, which has ended, either succeed or
// return its error.
func (s *subject) contextError(ctx context.Context, want error) {
	s.Helper()
	for what, call := range s.calls(ctx) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		err := call(tok, rev)
		if err == nil {
			continue
		}
		if !errors.Is(err, want) {
			s.Errorf("rule 3: %s with an ended context: got error %q, want none or %q", what, err, want)
		}
		for _, wrong := range []error{stores.ErrNotFound, stores.ErrExists, stores.ErrConflict} {
			if errors.Is(err, wrong) {
				s.Errorf("rule 3: %s with an ended context: the error %q wraps %q", what, err, wrong)
			}
		}
	}
}

// calls returns a call of each of the store's methods.
func (s *subject) calls(ctx context.Context) map[string]func(stores.Token, stores.Revision) error {
	calls := map[string]func(stores.Token, stores.Revision) error{
		"Load": func(tok stores.Token, _ stores.Revision) error {
			_, err := s.store.Load(ctx, tok)
			return err
		},
		"Save": func(tok stores.Token, rev stores.Revision) error {
			_, _, err := s.store.Save(ctx, tok, s.record("two", rev))
			return err
		},
		"Delete": func(tok stores.Token, rev stores.Revision) error {
			return s.store.Delete(ctx, tok, rev)
		},
	}
	if toucher, ok := s.store.(stores.Toucher); ok {
		calls["Touch"] = func(tok stores.Token, rev stores.Revision) error {
			_, err := toucher.Touch(ctx, tok, rev, time.Now().Add(2*longLife))
			return err
		}
	}
	return calls
}

// unreachable tests a store whose server does not answer.
func unreachable(s *subject) {
	s.store = s.cfg.NewUnreachable(s.t)
	for what, call := range s.calls(s.ctx) {
		for _, rev := range []stores.Revision{"", "storetest"} {
			if rev == "" && what == "Touch" {
				continue
			}
			err := call(s.token(), rev)
			s.fails(3, what+" while the server does not answer", err, stores.ErrUnavailable)
			if err != nil && !hasCause(err) {
				s.Errorf("rule 3: %s while the server does not answer: the error %q does not wrap its cause", what, err)
			}
		}
	}
}

// hasCause tells whether err wraps more than stores.ErrUnavailable.
func hasCause(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return hasCause(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if hasCause(err) {
				return true
			}
		}
		return false
	}
	return err != stores.ErrUnavailable
}

var deleteChecks = []check{
	{"rule 4 delete", func(s *subject) {
		tok, other := s.token(), s.token()
		s.save(tok, "", "one")
		_, rev := s.save(other, "", "other")
		for range 2 {
			if err := s.store.Delete(s.ctx, tok, ""); err != nil {
				s.Errorf("rule 4: Delete with no Revision is not idempotent: %v", err)
			}
			s.missing(4, "after Delete", tok)
		}
		s.holds(4, "another record after Delete", other, "other", rev)
	}},
	{"rule 4 delete a revision", func(s *subject) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		if err := s.store.Delete(s.ctx, tok, rev); err != nil {
			s.Errorf("rule 4: Delete with the Revision: %v", err)
		}
		s.missing(4, "after Delete with the Revision", tok)
		err := s.store.Delete(s.ctx, tok, rev)
		s.fails(4, "Delete with the Revision of a record that is gone", err, stores.ErrNotFound)
	}},
	{"rule 4 delete an older revision", func(s *subject) {
		tok := s.token()
		_, first := s.save(tok, "", "one")
		_, second := s.save(tok, first, "two")
		err := s.store.Delete(s.ctx, tok, first)
		s.fails(4, "Delete with a Revision that was replaced", err, stores.ErrConflict)
		s.holds(4, "after the conflict", tok, "two", second)
	}},
	{"rule 4 delete a revision that expired", func(s *subject) {
		tok := s.token()
		rev := s.expire(tok)
		err := s.store.Delete(s.ctx, tok, rev)
		s.fails(4, "Delete with the Revision of an expired record", err, stores.ErrNotFound)
	}},
}

var expiryChecks = []check{
	{"rule 5 invalid expiry", func(s *subject) {
		s.refusesExpires(s.token(), "")
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		s.refusesExpires(tok, rev)
		s.holds(5, "after the refused Save", tok, "one", rev)
	}},
	{"rule 5 expiry comes back", func(s *subject) {
		tok := s.token()
		var rev stores.Revision
		// The second save lengthens, the third shortens.
		for _, life := range []time.Duration{
			longLife + 123456789*time.Nanosecond, 400 * 24 * time.Hour, longLife / 2,
		} {
			rec := s.record("one", rev)
			rec.Expires = time.Now().Add(life)
			_, rev = s.saveRecord(tok, rec)
			s.expires("Save", tok, rec.Expires)
		}
	}},
}

// refusesExpires tests that nothing is saved without a future expiry.
func (s *subject) refusesExpires(tok stores.Token, rev stores.Revision) {
	s.Helper()
	now := time.Now()
	for what, expires := range map[string]time.Time{
		"zero": {}, "the Unix epoch": time.Unix(0, 0), "a second ago": now.Add(-time.Second), "now": now,
	} {
		rec := s.record("refused", rev)
		rec.Expires = expires
		got, _, err := s.store.Save(s.ctx, tok, rec)
		s.fails(5, "Save with an Expires that is "+what, err, stores.ErrInvalidRecord)
		if rev == "" && err != nil {
			s.missing(5, "after the refused Save", tok)
		}
		if got.Payload != "" {
			s.Errorf("rule 5: Save with an Expires that is %s returned a payload", what)
		}
	}
}

// expires tests that the record of tok ends at want.
func (s *subject) expires(after string, tok stores.Token, want time.Time) {
	s.Helper()
	got := s.load(tok).Expires
	if got.Sub(want).Abs() >= time.Millisecond {
		s.Errorf("rule 5: after %s the record expires at %v, want %v to the millisecond", after, got, want)
	}
}

var revisionChecks = []check{
	{"rule 7 every write has its own revision", func(s *subject) {
		seen := make(map[stores.Revision]bool)
		mark := func(rev stores.Revision) {
			if seen[rev] {
				s.Errorf("rule 7: two writes have the Revision %q", rev)
			}
			seen[rev] = true
		}
		for range 3 {
			tok := s.token()
			var rev stores.Revision
			for range 3 {
				_, rev = s.save(tok, rev, "the same")
				mark(rev)
			}
			if err := s.store.Delete(s.ctx, tok, ""); err != nil {
				s.Fatalf("rule 4: Delete: %v", err)
			}
			_, rev = s.save(tok, "", "the same")
			mark(rev)
		}
	}},
}
