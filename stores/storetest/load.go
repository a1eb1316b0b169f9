package storetest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// loadChecks are for rule 2: which failure is which.
var loadChecks = []check{
	{"rule 2 missing record", func(s *subject) {
		s.missing("rule 2", "a key that has no record", newKey())
	}},
	{"rule 2 expired record", func(s *subject) {
		key, _ := s.expired("one")
		s.missing("rule 2", "an expired record", key)
		s.expire("rule 3: Put of a record that lives briefly", func(expires time.Time) error {
			key = newKey()
			return s.server.Put(s.ctx, key, stores.Record{Data: []byte("one"), Expires: expires})
		})
		s.missing("rule 2", "an expired record", key)
	}},
	{"rule 2 ended context", func(s *subject) {
		cancelled, cancel := context.WithCancel(s.ctx)
		cancel()
		s.endedContext(cancelled, context.Canceled)
		late, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
		defer cancel()
		s.endedContext(late, context.DeadlineExceeded)
	}},
	{"rule 2 too large", func(s *subject) {
		key := newKey()
		rev, large := s.save(key, "", "one"), strings.Repeat("too large? ", 200_000)
		for what, write := range map[string]func(stores.Key, stores.Revision) error{
			"Save": func(key stores.Key, rev stores.Revision) error {
				_, err := s.server.Save(s.ctx, key, record(large, rev))
				return err
			},
			"Put": func(key stores.Key, _ stores.Revision) error { return s.server.Put(s.ctx, key, record(large, "")) },
		} {
			for where, key := range map[string]stores.Key{"a new key": newKey(), "a live record": key} {
				at := rev
				if where == "a new key" {
					at = ""
				}
				err := write(key, at)
				switch {
				case err == nil:
					rec := s.load(key)
					if string(rec.Data) != large {
						s.Errorf("rule 5: a record of %d bytes came back with %d", len(large), len(rec.Data))
					}
					if at != "" {
						rev = s.save(key, rec.Revision, "one")
					}
				case at == "":
					s.fails("rule 2", what+" of 2 MB to "+where, err, stores.ErrTooLarge)
					s.missing("rule 2", "after a "+what+" that was too large", key)
				default:
					s.fails("rule 2", what+" of 2 MB to "+where, err, stores.ErrTooLarge)
					s.holds("rule 2", "after a "+what+" that was too large", key, "one", rev)
				}
			}
		}
	}},
}

// endedContext tests that calls with ctx, which has ended, either succeed or
// return its error.
func (s *subject) endedContext(ctx context.Context, want error) {
	s.Helper()
	for what, call := range s.calls(ctx) {
		key := newKey()
		err := call(key, s.save(key, "", "one"))
		if err == nil {
			continue
		}
		if !errors.Is(err, want) {
			s.Errorf("rule 2: %s with an ended context: got error %q, want none or %q", what, err, want)
		}
		for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrTooLarge, stores.ErrInvalidRecord} {
			if errors.Is(err, wrong) {
				s.Errorf("rule 2: %s with an ended context: the error %q wraps %q", what, err, wrong)
			}
		}
	}
}

// calls returns a call of each of the store's methods, about a record at a
// revision.
func (s *subject) calls(ctx context.Context) map[string]func(stores.Key, stores.Revision) error {
	calls := map[string]func(stores.Key, stores.Revision) error{
		"Load": func(key stores.Key, _ stores.Revision) error {
			_, err := s.server.Load(ctx, key, stores.Fresh)
			return err
		},
		"Load that may be stale": func(key stores.Key, _ stores.Revision) error {
			_, err := s.server.Load(ctx, key, stores.MayBeStale)
			return err
		},
		"Save": func(key stores.Key, rev stores.Revision) error {
			_, err := s.server.Save(ctx, key, record("two", rev))
			return err
		},
		"Save of a new record": func(stores.Key, stores.Revision) error {
			_, err := s.server.Save(ctx, newKey(), record("two", ""))
			return err
		},
		"Put": func(key stores.Key, _ stores.Revision) error {
			return s.server.Put(ctx, key, record("two", ""))
		},
	}
	if toucher, ok := s.server.(stores.Toucher); ok {
		calls["Touch"] = func(key stores.Key, rev stores.Revision) error {
			_, err := toucher.Touch(ctx, key, rev, time.Now().Add(2*longLife))
			return err
		}
	}
	if batcher, ok := s.server.(stores.Batcher); ok {
		calls["LoadMany"] = func(key stores.Key, _ stores.Revision) error {
			_, err := batcher.LoadMany(ctx, []stores.Key{key, newKey()})
			return err
		}
		calls["SaveMany"] = func(key stores.Key, rev stores.Revision) error {
			_, err := batcher.SaveMany(ctx, []stores.Key{key, newKey()}, []stores.Record{record("two", rev), record("two", "")})
			return err
		}
	}
	if index, ok := s.server.(stores.OwnerIndex); ok {
		calls["AddEntry"] = func(key stores.Key, _ stores.Revision) error {
			_, err := index.AddEntry(ctx, newKey(), entry(key, "two"))
			return err
		}
		calls["Entries"] = func(key stores.Key, _ stores.Revision) error {
			_, err := index.Entries(ctx, key)
			return err
		}
		calls["RemoveEntries"] = func(key stores.Key, _ stores.Revision) error {
			return index.RemoveEntries(ctx, newKey(), key)
		}
	}
	return calls
}
