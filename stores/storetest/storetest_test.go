package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// recorder notes what a check reports.
type recorder struct {
	mu     sync.Mutex
	errors []string
}

func (*recorder) Helper() {}

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
// were written for its fault, and that there is no check that no store fails. It
// leaves out the checks of other rules than these.
func requireFailures(t *testing.T, rules func(Config) []check, broken []broken) {
	can := make(map[string]bool)
	all := make(map[string]bool)
	for _, b := range broken {
		t.Run(b.fault, func(t *testing.T) {
			checks := rules(b.cfg)
			for _, c := range checks {
				all[c.name] = true
			}
			failed := failures(t, b.cfg, checks)
			for _, name := range b.checks {
				require.Contains(t, failed, name)
			}
			for name, errs := range failed {
				can[name] = true
				for _, err := range errs {
					require.Regexp(t, `^(rule \d+: |[A-Za-z]+: |Save of |Load of |Touch of )`, err, "an error must say which rule is broken")
				}
			}
		})
	}
	for name := range all {
		require.Contains(t, can, name, "no broken store fails this check")
	}
}

type broken struct {
	fault  string
	cfg    Config
	checks []string
}

// funcs is a store with some methods replaced.
type funcs struct {
	stores.Store
	load   func(context.Context, stores.Token) (stores.Record, error)
	save   func(context.Context, stores.Token, stores.Record) (stores.Token, stores.Revision, error)
	delete func(context.Context, stores.Token, stores.Revision) error
	touch  func(context.Context, stores.Token, stores.Revision, time.Time) (stores.Revision, error)
	ownerFuncs
}

func (f funcs) Load(ctx context.Context, tok stores.Token) (stores.Record, error) {
	if f.load != nil {
		return f.load(ctx, tok)
	}
	return f.Store.Load(ctx, tok)
}

func (f funcs) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if f.save != nil {
		return f.save(ctx, tok, rec)
	}
	return f.Store.Save(ctx, tok, rec)
}

func (f funcs) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	if f.delete != nil {
		return f.delete(ctx, tok, rev)
	}
	return f.Store.Delete(ctx, tok, rev)
}

func (f funcs) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	if f.touch != nil {
		return f.touch(ctx, tok, rev, expires)
	}
	return f.Store.(stores.Toucher).Touch(ctx, tok, rev, expires)
}

func newMemory(t *testing.T) *memstore.Store {
	m, err := memstore.New()
	require.NoError(t, err)
	return m
}

// breakMemory returns the configuration of a memstore with a fault.
func breakMemory(fault func(m *memstore.Store, f *funcs)) Config {
	return Config{Synctest: true, New: func(t *testing.T) stores.Store {
		m := newMemory(t)
		f := &funcs{Store: m}
		fault(m, f)
		return f
	}}
}

func TestSoundStore(t *testing.T) {
	cfg := breakMemory(func(*memstore.Store, *funcs) {})
	require.Empty(t, failures(t, cfg, checks(cfg)))
	Run(t, cfg)
}

func TestServerHeldFaults(t *testing.T) {
	type (
		ctx = context.Context
		tok = stores.Token
		rec = stores.Record
		rev = stores.Revision
	)
	server := func(fault string, breakIt func(m *memstore.Store, f *funcs), checks ...string) broken {
		return broken{fault, breakMemory(breakIt), checks}
	}
	// current is the revision of what is there now.
	current := func(m *memstore.Store, c ctx, k tok) rev {
		r, _ := m.Load(c, k)
		return r.Revision
	}

	requireFailures(t, recordRules, []broken{
		server("create overwrites", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if r.Revision == "" {
					r.Revision = current(m, c, k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 create where a record is", "rule 1 many creates at once"),
		server("create looks first and then writes", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if r.Revision == "" {
					if current(m, c, k) != "" {
						return k, "", stores.ErrExists
					}
					time.Sleep(time.Millisecond)
					r.Revision = current(m, c, k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 many creates at once"),
		server("no revision", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				k, _, err := m.Save(c, k, r)
				return k, "", err
			}
		}, "rule 1 create"),
		server("create fails over expired records", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			seen := make(map[stores.Key]bool)
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				mu.Lock()
				defer mu.Unlock()
				if r.Revision == "" && seen[k.ID.Key()] && current(m, c, k) == "" {
					return k, "", stores.ErrExists
				}
				seen[k.ID.Key()] = true
				return m.Save(c, k, r)
			}
		}, "rule 1 create over an expired record"),
		server("last writer wins", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if r.Revision != "" && current(m, c, k) != "" {
					r.Revision = current(m, c, k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 replace an older revision", "rule 2 replace with another record's revision",
			"rule 2 replace a record that was created anew", "rule 2 many replaces at once"),
		server("replace compares and then writes", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if r.Revision != "" {
					if now := current(m, c, k); now != "" && now != r.Revision {
						return k, "", stores.ErrConflict
					}
					time.Sleep(time.Millisecond)
					r.Revision = current(m, c, k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 many replaces at once"),
		server("data and revision are read one after the other", func(m *memstore.Store, f *funcs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := m.Load(c, k)
				time.Sleep(time.Millisecond)
				if v := current(m, c, k); err == nil && v != "" {
					r.Revision = v
				}
				return r, err
			}
		}, "rule 2 counter"),
		server("replace brings records back", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if current(m, c, k) == "" {
					r.Revision = ""
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 replace a deleted record", "rule 2 replace an expired record", "rule 4 delete and replace at once"),
		server("conflict for what is gone", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				k, v, err := m.Save(c, k, r)
				if errors.Is(err, stores.ErrNotFound) {
					err = stores.ErrConflict
				}
				return k, v, err
			}
		}, "rule 2 replace a deleted record"),
		server("replace keeps the first data", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if old, err := m.Load(c, k); err == nil && r.Revision != "" {
					r.Data = old.Data
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 replace"),
		server("missing is unavailable", func(m *memstore.Store, f *funcs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := m.Load(c, k)
				if err != nil {
					err = fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
				}
				return r, err
			}
		}, "rule 3 missing record"),
		server("missing is an empty record", func(m *memstore.Store, f *funcs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, _ := m.Load(c, k)
				return r, nil
			}
		}, "rule 3 missing record", "rule 3 expired record"),
		server("nothing expires", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if r.Expires.After(time.Now()) {
					r.Expires = r.Expires.Add(time.Hour)
				}
				return m.Save(c, k, r)
			}
		}, "rule 3 expired record", "rule 5 expiry comes back", "rule 2 replace an expired record",
			"rule 4 delete a revision that expired", "Toucher of an expired record"),
		server("an ended context is no session", func(m *memstore.Store, f *funcs) {
			f.load = func(c ctx, k tok) (rec, error) {
				if c.Err() != nil {
					return rec{}, fmt.Errorf("%w: %w", stores.ErrNotFound, c.Err())
				}
				return m.Load(c, k)
			}
		}, "rule 3 ended context"),
		server("an ended context is an outage", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if c.Err() != nil {
					return k, "", stores.ErrUnavailable
				}
				return m.Save(c, k, r)
			}
		}, "rule 3 ended context"),
		server("delete is not idempotent", func(m *memstore.Store, f *funcs) {
			f.delete = func(c ctx, k tok, v rev) error {
				if _, err := m.Load(c, k); err != nil {
					return err
				}
				return m.Delete(c, k, v)
			}
		}, "rule 4 delete"),
		server("delete ignores the revision", func(m *memstore.Store, f *funcs) {
			f.delete = func(c ctx, k tok, v rev) error { return m.Delete(c, k, "") }
		}, "rule 4 delete a revision", "rule 4 delete an older revision", "rule 4 delete and replace at once"),
		server("delete with a revision does nothing", func(m *memstore.Store, f *funcs) {
			f.delete = func(c ctx, k tok, v rev) error {
				if v != "" {
					return nil
				}
				return m.Delete(c, k, v)
			}
		}, "rule 4 delete a revision"),
		server("any expiry is taken", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if !r.Expires.After(time.Now()) {
					r.Expires = time.Now().Add(24 * time.Hour)
				}
				return m.Save(c, k, r)
			}
		}, "rule 5 invalid expiry"),
		server("a refused record is written", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				err := stores.CheckExpires(r)
				if err != nil {
					r.Expires = time.Now().Add(time.Hour)
				}
				k, v, saveErr := m.Save(c, k, r)
				return k, v, errors.Join(err, saveErr)
			}
		}, "rule 5 invalid expiry"),
		server("whole seconds", func(m *memstore.Store, f *funcs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := m.Load(c, k)
				r.Expires = r.Expires.Truncate(time.Second)
				return r, err
			}
		}, "rule 5 expiry comes back"),
		server("never a shorter expiry", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				if old, err := m.Load(c, k); err == nil && old.Expires.After(r.Expires) && r.Revision != "" && stores.CheckExpires(r) == nil {
					r.Expires = old.Expires
				}
				return m.Save(c, k, r)
			}
		}, "rule 5 expiry comes back"),
		server("text only", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				r.Data = []byte(strings.ToValidUTF8(string(r.Data), "?"))
				return m.Save(c, k, r)
			}
		}, "rule 6 data"),
		server("at most 32 KiB", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				r.Data = r.Data[:min(len(r.Data), 32<<10)]
				return m.Save(c, k, r)
			}
		}, "rule 6 data"),
		server("keeps the saved slice", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			kept := make(map[stores.Key][]byte)
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				got, v, err := m.Save(c, k, r)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					kept[k.ID.Key()] = r.Data
				}
				return got, v, err
			}
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := m.Load(c, k)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					r.Data = kept[k.ID.Key()]
				}
				return r, err
			}
		}, "rule 6 saved slices are the caller's", "rule 6 loaded slices are the caller's"),
		server("hands out one slice", func(m *memstore.Store, f *funcs) {
			shared := make([]byte, 100)
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := m.Load(c, k)
				// Where goroutines meet, the race detector finds it first.
				if strings.HasPrefix(string(r.Data), "the ") {
					r.Data = shared[:copy(shared, r.Data)]
				}
				return r, err
			}
		}, "rule 6 loaded slices are the caller's"),
		server("changes its arguments", func(m *memstore.Store, f *funcs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				got, v, err := m.Save(c, k, r)
				clear(r.Data)
				return got, v, err
			}
		}, "rule 6 saved slices are the caller's"),
		server("mixes records up", func(m *memstore.Store, f *funcs) {
			var last rec
			var mu sync.Mutex
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				mu.Lock()
				last = r
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				return m.Save(c, k, last)
			}
		}, "rule 6 concurrent use"),
		server("revision of the data", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			real := make(map[stores.Key]rev)
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				mu.Lock()
				defer mu.Unlock()
				if old, err := m.Load(c, k); err == nil && r.Revision == rev("hash of "+string(old.Data)) {
					r.Revision = real[k.ID.Key()]
				}
				got, v, err := m.Save(c, k, r)
				if err == nil {
					real[k.ID.Key()] = v
				}
				return got, rev("hash of " + string(r.Data)), err
			}
		}, "rule 7 every write has its own revision"),
		server("touch does nothing", func(m *memstore.Store, f *funcs) {
			f.touch = func(_ ctx, _ tok, v rev, _ time.Time) (rev, error) { return v, nil }
		}, "Toucher lengthens", "Toucher of an older revision", "Toucher of a deleted record", "Toucher of an expired record"),
		server("touch shortens", func(m *memstore.Store, f *funcs) {
			f.touch = func(c ctx, k tok, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k)
				if err != nil {
					return "", err
				}
				r.Expires = until
				r.Revision = v
				_, v, err = m.Save(c, k, r)
				return v, err
			}
		}, "Toucher never shortens"),
		server("touch creates", func(m *memstore.Store, f *funcs) {
			f.touch = func(c ctx, k tok, v rev, until time.Time) (rev, error) {
				if current(m, c, k) == "" {
					_, v, err := m.Save(c, k, rec{Expires: until})
					return v, err
				}
				return m.Touch(c, k, v, until)
			}
		}, "Toucher of a deleted record", "Toucher of an expired record"),
		server("touch ignores the revision", func(m *memstore.Store, f *funcs) {
			f.touch = func(c ctx, k tok, v rev, until time.Time) (rev, error) {
				return m.Touch(c, k, current(m, c, k), until)
			}
		}, "Toucher of an older revision"),
		server("touch writes old data", func(m *memstore.Store, f *funcs) {
			f.touch = func(c ctx, k tok, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k)
				if err != nil {
					return "", err
				}
				time.Sleep(time.Millisecond)
				r.Revision = current(m, c, k)
				r.Expires = until
				_, v, err = m.Save(c, k, r)
				return v, err
			}
		}, "Toucher and replace at once"),
		{"an outage is no session", Config{
			New: func(t *testing.T) stores.Store { return newMemory(t) },
			NewUnreachable: func(t *testing.T) stores.Store {
				return newMemory(t) // knows nothing, and takes every create
			},
		}, []string{"rule 3 unreachable"}},
		{"an outage without its cause", Config{
			New: func(t *testing.T) stores.Store { return newMemory(t) },
			NewUnreachable: func(t *testing.T) stores.Store {
				down := fmt.Errorf("%w, sorry", stores.ErrUnavailable)
				return &funcs{
					Store:  newMemory(t),
					load:   func(ctx, tok) (rec, error) { return rec{}, down },
					save:   func(ctx, tok, rec) (tok, rev, error) { return tok{}, "", down },
					delete: func(ctx, tok, rev) error { return down },
					touch:  func(ctx, tok, rev, time.Time) (rev, error) { return "", down },
				}
			},
		}, []string{"rule 3 unreachable"}},
	})
}

// Rule 3 is of every method: one that gives an outage a name of its own is found,
// and named.
func TestOutageOfOneMethod(t *testing.T) {
	cause := errors.New("connection refused")
	down := fmt.Errorf("%w: %w", stores.ErrUnavailable, cause)
	for _, method := range []string{"Load", "Save", "Delete", "Touch"} {
		err := func(of string) error {
			if of == method {
				return cause
			}
			return down
		}
		cfg := Config{
			New: func(t *testing.T) stores.Store { return newMemory(t) },
			NewUnreachable: func(t *testing.T) stores.Store {
				return &funcs{
					Store: newMemory(t),
					load: func(context.Context, stores.Token) (stores.Record, error) {
						return stores.Record{}, err("Load")
					},
					save: func(context.Context, stores.Token, stores.Record) (stores.Token, stores.Revision, error) {
						return stores.Token{}, "", err("Save")
					},
					delete: func(context.Context, stores.Token, stores.Revision) error { return err("Delete") },
					touch: func(context.Context, stores.Token, stores.Revision, time.Time) (stores.Revision, error) {
						return "", err("Touch")
					},
				}
			},
		}
		reports := failures(t, cfg, []check{{"rule 3 unreachable", unreachable}})["rule 3 unreachable"]
		require.NotEmpty(t, reports, method)
		for _, report := range reports {
			require.Contains(t, report, "rule 3: "+method+" while the server does not answer")
		}
	}
}
