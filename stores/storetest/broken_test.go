package storetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// Shorter names for the tables of faults.
type (
	ctx = context.Context
	key = stores.Key
	rec = stores.Record
	rev = stores.Revision
)

// faulty is the reference with some methods replaced.
type faulty struct {
	*reference
	load     func(ctx, key, stores.Freshness) (rec, error)
	save     func(ctx, key, rec) (rev, error)
	put      func(ctx, key, rec) error
	touch    func(ctx, key, rev, time.Time) (rev, error)
	loadMany func(ctx, []key) ([]rec, error)
	saveMany func(ctx, []key, []rec) ([]bool, error)
	add      func(ctx, key, stores.Entry) (uint64, error)
	entries  func(ctx, key) ([]stores.Entry, error)
	remove   func(ctx, key, ...key) error
	count    func(ctx) (int, error)
}

// newFaulty returns a store without a fault.
func newFaulty() *faulty {
	m := newReference()
	return &faulty{m, m.Load, m.Save, m.Put, m.Touch, m.LoadMany, m.SaveMany, m.AddEntry, m.Entries, m.RemoveEntries, m.Count}
}

func (f *faulty) Load(c ctx, k key, fresh stores.Freshness) (rec, error) { return f.load(c, k, fresh) }
func (f *faulty) Save(c ctx, k key, r rec) (rev, error)                  { return f.save(c, k, r) }
func (f *faulty) Put(c ctx, k key, r rec) error                          { return f.put(c, k, r) }
func (f *faulty) LoadMany(c ctx, keys []key) ([]rec, error)              { return f.loadMany(c, keys) }
func (f *faulty) Touch(c ctx, k key, v rev, until time.Time) (rev, error) {
	return f.touch(c, k, v, until)
}
func (f *faulty) SaveMany(c ctx, keys []key, recs []rec) ([]bool, error) {
	return f.saveMany(c, keys, recs)
}
func (f *faulty) AddEntry(c ctx, owner key, e stores.Entry) (uint64, error) {
	return f.add(c, owner, e)
}
func (f *faulty) Count(c ctx) (int, error)                         { return f.count(c) }
func (f *faulty) Entries(c ctx, owner key) ([]stores.Entry, error) { return f.entries(c, owner) }
func (f *faulty) RemoveEntries(c ctx, owner key, keys ...key) error {
	return f.remove(c, owner, keys...)
}

// current returns the revision of k's live record, or none.
func (m *reference) current(k key) rev {
	r, _ := m.Load(context.Background(), k, stores.Fresh)
	return r.Revision
}

// broken is a store with a fault, and the checks that must find it.
type broken struct {
	fault  string
	cfg    Config
	checks []string
}

// breaks returns a broken store. The fault is made anew for each store.
func breaks(fault string, breakIt func(m *reference, f *faulty), checks ...string) broken {
	return broken{fault, Config{New: func(t *testing.T) stores.Server {
		f := newFaulty()
		breakIt(f.reference, f)
		return f
	}}, checks}
}

// recorder notes what a check reports.
type recorder struct {
	mu     sync.Mutex
	errors []string
}

func (*recorder) Helper() {}

func (*recorder) Logf(string, ...any) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failures runs checks and returns what each that fails reports.
func failures(t *testing.T, cfg Config, checks []check) map[string][]string {
	failed := make(map[string][]string)
	for _, c := range checks {
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			done := make(chan struct{})
			go func() { // so that Fatalf ends the check alone
				defer close(done)
				c.run(newSubject(t, &rec, cfg))
			}()
			<-done
			if len(rec.errors) > 0 {
				failed[c.name] = rec.errors
			}
		})
	}
	return failed
}

// requireFailures tests that every broken store fails at least the checks that
// were written for its fault, and that of the checks whose names begin with one
// of these words there is none that no store fails.
func requireFailures(t *testing.T, begin []string, list []broken) {
	can, all := make(map[string]bool), make(map[string]bool)
	for _, b := range list {
		t.Run(b.fault, func(t *testing.T) {
			var chosen []check
			for _, c := range checks(b.cfg) {
				for _, word := range begin {
					if strings.HasPrefix(c.name, word) {
						chosen = append(chosen, c)
						all[c.name] = true
					}
				}
			}
			failed := failures(t, b.cfg, chosen)
			for _, name := range b.checks {
				require.Contains(t, failed, name)
			}
			require.NotEmpty(t, failed)
			for name, errs := range failed {
				can[name] = true
				for _, err := range errs {
					require.Regexp(t, `^(rule \d|index|index rule \d|Toucher|Counter|Batcher|Config\.Small): `, err, "an error must say which rule is broken")
				}
			}
		})
	}
	for name := range all {
		require.Contains(t, can, name, "no broken store fails this check")
	}
}
