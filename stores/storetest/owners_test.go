package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// ownerFuncs are the methods of a [stores.OwnerIndex] that a broken store
// replaces.
type ownerFuncs struct {
	add     func(context.Context, stores.OwnerKey, stores.Entry) error
	entries func(context.Context, stores.OwnerKey) ([]stores.Entry, error)
	remove  func(context.Context, stores.OwnerKey, ...stores.Key) error
	epoch   func(context.Context, stores.OwnerKey) (string, error)
	next    func(context.Context, stores.OwnerKey) error
}

func (f funcs) index() stores.OwnerIndex { return f.Store.(stores.OwnerIndex) }

func (f funcs) AddEntry(ctx context.Context, k stores.OwnerKey, e stores.Entry) error {
	if f.add != nil {
		return f.add(ctx, k, e)
	}
	return f.index().AddEntry(ctx, k, e)
}

func (f funcs) Entries(ctx context.Context, k stores.OwnerKey) ([]stores.Entry, error) {
	if f.entries != nil {
		return f.entries(ctx, k)
	}
	return f.index().Entries(ctx, k)
}

func (f funcs) RemoveOwned(ctx context.Context, k stores.OwnerKey, keys ...stores.Key) error {
	if f.remove != nil {
		return f.remove(ctx, k, keys...)
	}
	return f.index().RemoveOwned(ctx, k, keys...)
}

func (f funcs) Epoch(ctx context.Context, k stores.OwnerKey) (string, error) {
	if f.epoch != nil {
		return f.epoch(ctx, k)
	}
	return f.index().Epoch(ctx, k)
}

func (f funcs) NewEpoch(ctx context.Context, k stores.OwnerKey) error {
	if f.next != nil {
		return f.next(ctx, k)
	}
	return f.index().NewEpoch(ctx, k)
}

// withoutOwners is a store that is no OwnerIndex.
type withoutOwners struct{ stores.Store }

// The checks ask nothing of a store that is none.
func TestStoreWithoutOwners(t *testing.T) {
	Run(t, Config{Synctest: true, New: func(t *testing.T) stores.Store { return withoutOwners{newMemory(t)} }})
}

// isOwners tells whether a check is of the rules for owners.
func isOwners(c check) bool {
	return strings.HasPrefix(c.name, "rule 8") || strings.HasPrefix(c.name, "rule 9") || strings.HasPrefix(c.name, "rule 1") && c.name[6] != ' '
}

func recordRules(cfg Config) []check { return slices.DeleteFunc(checks(cfg), isOwners) }

func ownerRules(cfg Config) []check {
	return slices.DeleteFunc(checks(cfg), func(c check) bool { return !isOwners(c) })
}

func TestOwnerFaults(t *testing.T) {
	type (
		ctx   = context.Context
		owner = stores.OwnerKey
		entry = stores.Entry
	)
	index := func(fault string, breakIt func(m *memstore.Store, f *funcs), checks ...string) broken {
		return broken{fault, breakMemory(breakIt), checks}
	}
	// each makes fault of every entry that is listed.
	each := func(fault func(*entry)) func(m *memstore.Store, f *funcs) {
		return func(m *memstore.Store, f *funcs) {
			f.entries = func(c ctx, k owner) ([]entry, error) {
				list, err := m.Entries(c, k)
				for i := range list {
					fault(&list[i])
				}
				return list, err
			}
		}
	}
	find := func(m *memstore.Store, c ctx, k owner, key stores.Key) *entry {
		list, _ := m.Entries(c, k)
		for _, e := range list {
			if e.Key == key {
				return &e
			}
		}
		return nil
	}

	requireFailures(t, ownerRules, []broken{
		index("add does nothing", func(m *memstore.Store, f *funcs) {
			f.add = func(ctx, owner, entry) error { return nil }
		}, "rule 8 add", "rule 8 replace"),
		index("one list for all owners", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, _ owner, e entry) error { return m.AddEntry(c, owner{}, e) }
			f.entries = func(c ctx, _ owner) ([]entry, error) { return m.Entries(c, owner{}) }
		}, "rule 8 add", "rule 8 one key under two owners"),
		index("data is text", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				e.Data = []byte(fmt.Sprintf("%q", e.Data))
				return m.AddEntry(c, k, e)
			}
		}, "rule 8 add"),
		index("the first entry of a key stays", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				if find(m, c, k, e.Key) != nil {
					return nil
				}
				return m.AddEntry(c, k, e)
			}
		}, "rule 8 replace", "rule 9 past deadlines"),
		index("entries only where there is a record", func(m *memstore.Store, f *funcs) {
			f.entries = func(c ctx, k owner) ([]entry, error) {
				all, err := m.Entries(c, k)
				var list []entry
				for _, e := range all {
					if !e.Expires.IsZero() {
						list = append(list, e)
					}
				}
				return list, err
			}
		}, "rule 8 add", "rule 9 records' expiry", "rule 10 entries without records"),
		index("keeps the added slice", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			kept := make(map[stores.Key][]byte)
			f.add = func(c ctx, k owner, e entry) error {
				mu.Lock()
				defer mu.Unlock()
				kept[e.Key] = e.Data
				return m.AddEntry(c, k, e)
			}
			f.entries = func(c ctx, k owner) ([]entry, error) {
				mu.Lock()
				defer mu.Unlock()
				list, err := m.Entries(c, k)
				for i := range list {
					list[i].Data = kept[list[i].Key]
				}
				return list, err
			}
		}, "rule 8 slices are the caller's"),
		index("deadlines are ignored", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				e.Deadline = e.Deadline.Add(2 * longLife)
				return m.AddEntry(c, k, e)
			}
		}, "rule 9 past deadlines", "rule 8 add"),
		index("deadlines never move on", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				if old := find(m, c, k, e.Key); old != nil {
					e.Deadline = old.Deadline
				}
				return m.AddEntry(c, k, e)
			}
		}, "rule 9 past deadlines", "rule 8 replace"),
		index("a replaced entry goes to the end", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				return errors.Join(m.RemoveOwned(c, k, e.Key), m.AddEntry(c, k, e))
			}
		}, "rule 8 order"),
		index("no order", each(func(e *entry) { e.Added = time.Time{} }), "rule 8 order"),
		index("orphans stay", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			kept := make(map[owner]map[stores.Key]entry)
			f.add = func(c ctx, k owner, e entry) error {
				mu.Lock()
				defer mu.Unlock()
				if kept[k] == nil {
					kept[k] = make(map[stores.Key]entry)
				}
				kept[k][e.Key] = e
				return m.AddEntry(c, k, e)
			}
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				mu.Lock()
				defer mu.Unlock()
				for _, key := range keys {
					delete(kept[k], key)
				}
				return m.RemoveOwned(c, k, keys...)
			}
			f.entries = func(c ctx, k owner) ([]entry, error) {
				mu.Lock()
				defer mu.Unlock()
				list, err := m.Entries(c, k)
				for key, e := range kept[k] {
					if e.Deadline.After(time.Now()) && find(m, c, k, key) == nil {
						list = append(list, e)
					}
				}
				return list, err
			}
		}, "rule 9 orphans"),
		index("every old entry goes", func(m *memstore.Store, f *funcs) {
			f.entries = func(c ctx, k owner) ([]entry, error) {
				all, err := m.Entries(c, k)
				var list []entry
				for _, e := range all {
					if time.Since(e.Added) <= stores.OrphanAge {
						list = append(list, e)
					}
				}
				return list, err
			}
		}, "rule 9 orphans"),
		index("no expiry of records", each(func(e *entry) { e.Expires = time.Time{} }), "rule 9 records' expiry"),
		index("every entry is live", each(func(e *entry) { e.Expires = e.Deadline }), "rule 9 records' expiry", "rule 8 add"),
		index("the record's first expiry", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			first := make(map[stores.Key]time.Time)
			each(func(e *entry) {
				mu.Lock()
				defer mu.Unlock()
				if was, ok := first[e.Key]; ok && !e.Expires.IsZero() {
					e.Expires = was
				} else if !e.Expires.IsZero() {
					first[e.Key] = e.Expires
				}
			})(m, f)
		}, "rule 9 records' expiry"),
		index("at most 500 entries", func(m *memstore.Store, f *funcs) {
			f.entries = func(c ctx, k owner) ([]entry, error) {
				list, err := m.Entries(c, k)
				return list[:min(len(list), 500)], err
			}
		}, "rule 10 many"),
		index("removes at most 500", func(m *memstore.Store, f *funcs) {
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				return m.RemoveOwned(c, k, keys[:min(len(keys), 500)]...)
			}
		}, "rule 10 many"),
		index("remove leaves the records", func(m *memstore.Store, f *funcs) {
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				list, err := m.Entries(c, k)
				for _, e := range list {
					for _, key := range keys {
						if e.Key == key { // its entry goes by its deadline
							e.Deadline = time.Now()
							err = errors.Join(err, m.AddEntry(c, k, e))
						}
					}
				}
				return err
			}
		}, "rule 10 remove", "rule 10 many"),
		index("remove leaves the entries", func(m *memstore.Store, f *funcs) {
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				return m.RemoveOwned(c, owner{}, keys...)
			}
		}, "rule 10 remove", "rule 10 entries without records"),
		index("remove takes the owner's other sessions", func(m *memstore.Store, f *funcs) {
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				list, err := m.Entries(c, k)
				for _, e := range list {
					keys = append(keys, e.Key)
				}
				return errors.Join(err, m.RemoveOwned(c, k, keys...))
			}
		}, "rule 10 remove", "rule 8 concurrent use"),
		index("remove is not idempotent", func(m *memstore.Store, f *funcs) {
			f.remove = func(c ctx, k owner, keys ...stores.Key) error {
				for _, key := range keys {
					if find(m, c, k, key) == nil {
						return stores.ErrNotFound
					}
				}
				return m.RemoveOwned(c, k, keys...)
			}
		}, "rule 10 remove", "rule 10 entries without records"),
		index("remove takes other owners' entries", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			owners := make(map[owner]bool)
			f.add = func(c ctx, k owner, e entry) error {
				mu.Lock()
				owners[k] = true
				mu.Unlock()
				return m.AddEntry(c, k, e)
			}
			f.remove = func(c ctx, _ owner, keys ...stores.Key) error {
				mu.Lock()
				defer mu.Unlock()
				for k := range owners {
					m.RemoveOwned(c, k, keys...)
				}
				return nil
			}
		}, "rule 10 remove", "rule 10 entries without records"),
		index("an epoch from the beginning", func(m *memstore.Store, f *funcs) {
			f.epoch = func(c ctx, k owner) (string, error) {
				epoch, err := m.Epoch(c, k)
				return "epoch " + epoch, err
			}
		}, "rule 11 epoch"),
		index("one epoch", func(m *memstore.Store, f *funcs) {
			f.next = func(c ctx, k owner) error {
				if epoch, _ := m.Epoch(c, k); epoch != "" {
					return nil
				}
				return m.NewEpoch(c, k)
			}
		}, "rule 11 epoch", "rule 11 many epochs at once"),
		index("epochs alternate", func(m *memstore.Store, f *funcs) {
			var mu sync.Mutex
			n := make(map[owner]int)
			f.next = func(_ ctx, k owner) error {
				mu.Lock()
				defer mu.Unlock()
				n[k]++
				return nil
			}
			f.epoch = func(_ ctx, k owner) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				if n[k] == 0 {
					return "", nil
				}
				return fmt.Sprint(k, n[k]%2), nil
			}
		}, "rule 11 epoch"),
		index("an epoch for all", func(m *memstore.Store, f *funcs) {
			f.next = func(c ctx, k owner) error { return m.NewEpoch(c, owner{}) }
			f.epoch = func(c ctx, k owner) (string, error) { return m.Epoch(c, owner{}) }
		}, "rule 11 epoch"),
		index("an epoch at every look", func(m *memstore.Store, f *funcs) {
			f.epoch = func(ctx, owner) (string, error) { return rand.Text(), nil }
		}, "rule 11 epoch", "rule 11 many epochs at once"),
		index("the epoch goes with the entries", func(m *memstore.Store, f *funcs) {
			f.epoch = func(c ctx, k owner) (string, error) {
				if list, _ := m.Entries(c, k); len(list) == 0 {
					return "", nil
				}
				return m.Epoch(c, k)
			}
		}, "rule 11 epoch", "rule 11 epoch outlives the entries"),
		index("a list is read and written back", func(m *memstore.Store, f *funcs) {
			f.add = func(c ctx, k owner, e entry) error {
				list, err := m.Entries(c, k)
				if len(list) > 40 { // a long list takes too much time
					return m.AddEntry(c, k, e)
				}
				time.Sleep(time.Millisecond)
				var keys []stores.Key
				now, _ := m.Entries(c, k)
				for _, e := range now {
					keys = append(keys, e.Key)
				}
				err = errors.Join(err, m.RemoveOwned(c, k, keys...))
				for _, e := range append(list, e) {
					err = errors.Join(err, m.AddEntry(c, k, e))
				}
				return err
			}
		}, "rule 8 concurrent use"),
		index("an ended context is an outage of the index", func(m *memstore.Store, f *funcs) {
			f.epoch = func(c ctx, k owner) (string, error) {
				if c.Err() != nil {
					return "", stores.ErrUnavailable
				}
				return m.Epoch(c, k)
			}
		}, "rule 12 ended context"),
		{"an outage is an empty list", Config{
			New:            func(t *testing.T) stores.Store { return newMemory(t) },
			NewUnreachable: func(t *testing.T) stores.Store { return newMemory(t) },
		}, []string{"rule 12 unreachable"}},
	})
}
