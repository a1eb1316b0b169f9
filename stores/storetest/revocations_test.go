package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// referenceList is the contract of a list in its shortest form. Its fields are faults.
type referenceList struct {
	mu     sync.Mutex
	all    map[stores.Key]stores.Revocation
	at     map[stores.Key]int // the number of the last write
	writes int
	max    int
	due    time.Time // before it nothing is over

	swap  func(old string, there stores.Revocation, e *stores.Revocation) (write bool, now string, err error)
	since func(r *referenceList, after int) stores.RevocationPage
	get   func(r *referenceList, keys []stores.Key) []string
	check func(old string, e stores.Revocation) error
	torn  bool // looks and writes in two steps
	lose  func() bool
	err   error
}

func newReferenceList() *referenceList {
	return &referenceList{
		all: make(map[stores.Key]stores.Revocation), at: make(map[stores.Key]int), max: 1 << 20,
		swap: func(old string, there stores.Revocation, e *stores.Revocation) (bool, string, error) {
			switch {
			case there.Value == e.Value:
				if there.Until.After(e.Until) {
					e.Until = there.Until
				}
			case there.Value != old:
				return false, there.Value, nil
			}
			return true, e.Value, nil
		},
		since: func(r *referenceList, after int) (p stores.RevocationPage) {
			keys := slices.DeleteFunc(slices.Collect(maps.Keys(r.all)), func(k stores.Key) bool { return r.at[k] <= after })
			slices.SortFunc(keys, func(a, b stores.Key) int { return r.at[a] - r.at[b] })
			for _, k := range keys {
				if len(p.Entries) == 1000 {
					p.More = true
					return p
				}
				p.Entries = append(p.Entries, r.all[k])
				p.Next = stores.Cursor(strconv.Itoa(r.at[k]))
			}
			return p
		},
		get: func(r *referenceList, keys []stores.Key) (values []string) {
			for _, k := range keys {
				values = append(values, r.all[k].Value)
			}
			return values
		},
		check: stores.CheckRevocation,
		lose:  func() bool { return false },
	}
}

// set writes an entry.
func (r *referenceList) set(e stores.Revocation, n int) {
	r.all[e.Key], r.at[e.Key] = e, n
	if r.due.IsZero() || e.Until.Before(r.due) {
		r.due = e.Until
	}
}

// clean drops what is over. It looks at all entries when one can be, and not each time.
func (r *referenceList) clean() {
	now := time.Now()
	if r.due.After(now) {
		return
	}
	r.due = time.Time{}
	for k, e := range r.all {
		if e.Until.After(now) {
			r.set(e, r.at[k])
		} else {
			delete(r.all, k)
		}
	}
}

func (r *referenceList) Swap(ctx context.Context, old string, e stores.Revocation) (string, error) {
	if r.err != nil {
		return "", r.err
	}
	if err := r.check(old, e); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	write, now, err := r.swap(old, r.all[e.Key], &e)
	if write && err == nil && r.all[e.Key].Value == "" && len(r.all) >= r.max {
		return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, stores.ErrFull)
	}
	if r.torn {
		r.mu.Unlock()
		time.Sleep(time.Millisecond)
		r.mu.Lock()
	}
	if write {
		r.writes++
		r.set(e, r.writes)
	}
	if r.lose() {
		return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, context.DeadlineExceeded)
	}
	return now, err
}

func (r *referenceList) Get(_ context.Context, keys ...stores.Key) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	return r.get(r, keys), r.err
}

func (r *referenceList) Since(_ context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	n, _ := strconv.Atoi(string(after))
	p := r.since(r, n)
	if p.Next == "" {
		p.Next = after
	}
	return p, r.err
}

// late takes a number now and shows the entry later.
func (r *referenceList) late(e stores.Revocation) (commit func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	n := r.writes
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.set(e, n)
	}
}

// config returns a configuration of everything that a list can be tested for, of lists
// with a fault.
func listConfig(fault func(*referenceList)) RevocationConfig {
	newList := func() *referenceList {
		r := newReferenceList()
		fault(r)
		return r
	}
	return RevocationConfig{
		New: func(*testing.T) stores.RevocationList { return newList() },
		Late: func(_ *testing.T, list stores.RevocationList, e stores.Revocation) func() {
			return list.(*referenceList).late(e)
		},
		Small: func(*testing.T) stores.RevocationList {
			r := newList()
			r.max = min(r.max, 1000)
			return r
		},
		Lossy: func(*testing.T) stores.RevocationList {
			r := newList()
			n := 0
			r.lose = func() bool { n++; return n%3 == 0 }
			return r
		},
		Unreachable: func(*testing.T) stores.RevocationList {
			r := newList()
			if r.err == nil {
				r.err = fmt.Errorf("%w: %w", stores.ErrUnavailable, context.DeadlineExceeded)
			}
			return r
		},
		Synctest: true,
	}
}

func TestReferenceList(t *testing.T) {
	RunRevocations(t, listConfig(func(*referenceList) {}))
}

// Each rule has a check that fails where it is broken.
func TestRevocationFaults(t *testing.T) {
	type list = *referenceList
	type entry = stores.Revocation
	page := func(change func(r list, after int, p *stores.RevocationPage)) func(r list) {
		return func(r list) {
			since := r.since
			r.since = func(r list, after int) stores.RevocationPage {
				p := since(r, after)
				change(r, after, &p)
				return p
			}
		}
	}
	// forward: a reader is given nothing that is behind what another was given.
	forward := func() func(r list) {
		return page(func(r list, after int, p *stores.RevocationPage) {
			if after > 0 {
				p.Entries = slices.DeleteFunc(p.Entries, func(e entry) bool { return r.at[e.Key] < r.writes })
			}
		})
	}
	can := make(map[string]bool)
	for _, b := range []struct {
		fault   string
		breakIt func(r list)
		checks  []string
	}{
		{"a Swap does nothing", func(r list) {
			r.swap = func(_ string, _ entry, e *entry) (bool, string, error) { return false, e.Value, nil }
		}, []string{"list rule 1 add", "list rule 2 get", "list rule 3 since", "list rule 3 pages", "list rule 3 writes beside a reader", "list rule 4 any value"}},
		{"the last Swap wins", func(r list) {
			r.swap = func(_ string, _ entry, e *entry) (bool, string, error) { return true, e.Value, nil }
		}, []string{"list rule 1 add where a value is", "list rule 1 replace", "list rule 1 many at once"}},
		{"the first value stays", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if there.Value != "" && there.Value != e.Value {
					return false, there.Value, nil
				}
				return swap(old, there, e)
			}
		}, []string{"list rule 1 replace"}},
		{"a repeated Swap says what it began at", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if there.Value == e.Value {
					return false, "repeated", nil
				}
				return swap(old, there, e)
			}
		}, []string{"list rule 1 add where a value is", "list rule 1 lost replies", "list rule 5 limit"}},
		{"looks and writes in two steps", func(r list) { r.torn = true }, []string{"list rule 1 many at once"}},
		{"Get forgets the order", func(r list) {
			r.get = func(r list, keys []stores.Key) (values []string) {
				for _, k := range keys {
					if v := r.all[k].Value; v != "" {
						values = append(values, v)
					}
				}
				return append(values, make([]string, len(keys)-len(values))...)
			}
		}, []string{"list rule 2 get"}},
		{"Since without the last", page(func(_ list, _ int, p *stores.RevocationPage) {
			p.Entries = p.Entries[:max(0, len(p.Entries)-1)]
		}), []string{"list rule 1 add", "list rule 3 since"}},
		{"Since from everything always", func(r list) {
			since := r.since
			r.since = func(r list, _ int) stores.RevocationPage {
				p := since(r, 0)
				p.More = false
				return p
			}
		}, []string{"list rule 3 since"}},
		{"Since says too early that there is no more", page(func(_ list, _ int, p *stores.RevocationPage) { p.More = false }), []string{"list rule 3 pages"}},
		{"Since says too much that there is more", page(func(_ list, _ int, p *stores.RevocationPage) { p.More = true }), []string{"list rule 3 since"}},
		{"Since without Until", page(func(_ list, _ int, p *stores.RevocationPage) {
			for i := range p.Entries {
				p.Entries[i].Until = time.Time{}
			}
		}), []string{"list rule 1 add"}},
		{"what was replaced is not new", func(r list) {
			since := r.since
			first := make(map[stores.Key]int)
			r.since = func(r list, after int) stores.RevocationPage {
				for k, n := range r.at {
					if _, ok := first[k]; !ok {
						first[k] = n
					}
				}
				p := since(r, after)
				p.Entries = slices.DeleteFunc(p.Entries, func(e entry) bool { return first[e.Key] <= after })
				return p
			}
		}, []string{"list rule 1 replace"}},
		{"only what is newest", forward(), []string{"list rule 3 late", "list rule 3 writes beside a reader", "list rule 3 pages"}},
		{"an entry goes early", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				write, now, err := swap(old, there, e)
				if time.Until(e.Until) <= 2*time.Second {
					e.Until = time.Now().Add(time.Millisecond)
				}
				return write, now, err
			}
		}, []string{"list rule 4 until"}},
		{"Until stays", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if there.Value == e.Value {
					return false, e.Value, nil
				}
				return swap(old, there, e)
			}
		}, []string{"list rule 4 until moves on"}},
		{"Until moves back", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				until := e.Until
				write, now, err := swap(old, there, e)
				e.Until = until
				return write, now, err
			}
		}, []string{"list rule 4 until moves on"}},
		{"an entry that is over is refused", func(r list) {
			was := make(map[stores.Key]bool)
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if there.Value == "" && was[e.Key] {
					return false, "over", nil
				}
				was[e.Key] = true
				return swap(old, there, e)
			}
		}, []string{"list rule 4 until"}},
		{"anything goes", func(r list) { r.check = func(string, entry) error { return nil } }, []string{"list rule 4 invalid"}},
		{"values are text", func(r list) {
			swap := r.swap
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				e.Value = strings.ToValidUTF8(e.Value, "?")
				return swap(old, there, e)
			}
		}, []string{"list rule 4 any value"}},
		{"full for everything", func(r list) {
			swap := r.swap
			n := 0
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if n++; n > 500 {
					return false, "", fmt.Errorf("%w: %w", stores.ErrUnavailable, stores.ErrFull)
				}
				return swap(old, there, e)
			}
		}, []string{"list rule 5 limit"}},
		{"an outage without its cause", func(r list) { r.err = stores.ErrUnavailable }, []string{"list rule 6 unreachable", "list rule 6 cancelled"}},
		{"a lost reply is a failure of another kind", func(r list) {
			swap := r.swap
			n := 0
			r.swap = func(old string, there entry, e *entry) (bool, string, error) {
				if n++; n == 5 {
					return false, "", stores.ErrConflict
				}
				return swap(old, there, e)
			}
		}, []string{"list rule 1 lost replies"}},
	} {
		t.Run(b.fault, func(t *testing.T) {
			cfg := listConfig(b.breakIt)
			failed := make(map[string][]string)
			for _, c := range revocationChecks(cfg) {
				synctest.Test(t, func(t *testing.T) {
					var rec recorder
					done := make(chan struct{})
					go func() {
						defer close(done)
						c.run(newRevocations(t, &rec, cfg))
					}()
					<-done
					if len(rec.errors) > 0 {
						failed[c.name] = rec.errors
						can[c.name] = true
					}
				})
			}
			for _, name := range b.checks {
				require.Contains(t, failed, name)
			}
			for _, errs := range failed {
				for _, err := range errs {
					require.Regexp(t, `^list rule \d|^RevocationConfig\.Small`, err)
				}
			}
		})
	}
	for _, c := range revocationChecks(listConfig(func(*referenceList) {})) {
		require.Contains(t, can, c.name, "no broken list fails this check")
	}
}
