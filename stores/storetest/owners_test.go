package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

func TestOwnerIndexFaults(t *testing.T) {
	type entry = stores.Entry
	// each makes a fault of every entry that is listed.
	each := func(fault func(*entry)) func(m *reference, f *faulty) {
		return func(m *reference, f *faulty) {
			f.entries = func(c ctx, owner key) ([]entry, error) {
				list, err := m.Entries(c, owner)
				for i := range list {
					fault(&list[i])
				}
				return list, err
			}
		}
	}
	find := func(m *reference, owner, k key) entry {
		list, _ := m.Entries(context.Background(), owner)
		return byKey(list)[k]
	}

	requireFailures(t, []string{"index"}, []broken{
		breaks("add does nothing", func(m *reference, f *faulty) {
			f.add = func(_ ctx, _ key, e entry) (uint64, error) { return max(e.Number, 1), nil }
		}, "index rule 1 add", "index rule 1 replace"),
		breaks("one list for all owners", func(m *reference, f *faulty) {
			f.add = func(c ctx, _ key, e entry) (uint64, error) { return m.AddEntry(c, key{}, e) }
			f.entries = func(c ctx, _ key) ([]entry, error) { return m.Entries(c, key{}) }
			f.remove = func(c ctx, _ key, keys ...key) error { return m.RemoveEntries(c, key{}, keys...) }
		}, "index rule 1 add", "index rule 1 one key under two owners"),
		breaks("add creates a record", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				m.Save(c, e.Key, rec{Expires: e.Expires})
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 add"),
		breaks("data is text", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				e.Data = []byte(fmt.Sprintf("%q", e.Data))
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 add"),
		breaks("the first entry of a key stays", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if old := find(m, owner, e.Key); old.Number != 0 {
					return old.Number, nil
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 replace", "index rule 2 expiry"),
		breaks("entries only where there is a record", func(m *reference, f *faulty) {
			f.entries = func(c ctx, owner key) ([]entry, error) {
				all, err := m.Entries(c, owner)
				var list []entry
				for _, e := range all {
					if m.current(e.Key) != "" {
						list = append(list, e)
					}
				}
				return list, err
			}
		}, "index rule 1 add"),
		breaks("an entry twice", func(m *reference, f *faulty) {
			f.entries = func(c ctx, owner key) ([]entry, error) {
				list, err := m.Entries(c, owner)
				return append(list, list...), err
			}
		}, "index rule 1 add"),

		// Numbers.
		breaks("no numbers", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				_, err := m.AddEntry(c, owner, e)
				return 0, err
			}
		}, "index rule 1 numbers"),
		breaks("numbers are random", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if e.Number == 0 {
					if e.Number = find(m, owner, e.Key).Number; e.Number == 0 {
						e.Number = 1 + rand.Uint64N(1000)
					}
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers"),
		breaks("a new number at every add", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if e.Number == 0 {
					m.RemoveEntries(c, owner, e.Key)
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 replace", "index rule 1 repeated", "index rule 4 one key at once"),
		breaks("given numbers are ignored", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				e.Number = 0
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers"),
		breaks("the number of a replaced entry stays", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if old := find(m, owner, e.Key).Number; old != 0 {
					e.Number = old
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers"),
		breaks("given numbers are not counted", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				m.mu.Lock()
				before := m.numbers
				m.mu.Unlock()
				n, err := m.AddEntry(c, owner, e)
				if e.Number != 0 {
					m.mu.Lock()
					m.numbers = before
					m.mu.Unlock()
				}
				return n, err
			}
		}, "index rule 1 numbers"),
		breaks("the length of the list", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				m.mu.Lock()
				m.numbers = uint64(len(m.owners[owner]))
				m.mu.Unlock()
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers", "index rule 4 concurrent use"),
		breaks("one more than the greatest in the list", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				list, _ := m.Entries(c, owner)
				m.mu.Lock()
				m.numbers = 0
				for _, e := range list {
					m.numbers = max(m.numbers, e.Number)
				}
				m.mu.Unlock()
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers", "index rule 1 numbers outlive the entries"),
		breaks("the counter goes with the list", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if list, _ := m.Entries(c, owner); len(list) == 0 {
					m.mu.Lock()
					m.numbers = 0
					m.mu.Unlock()
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 1 numbers", "index rule 1 numbers outlive the entries"),
		breaks("two adds have one number", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if e.Number == 0 {
					if e.Number = find(m, owner, e.Key).Number; e.Number == 0 {
						m.mu.Lock()
						e.Number = m.numbers + 1
						m.mu.Unlock()
						time.Sleep(time.Millisecond)
					}
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 4 concurrent use"),

		// Expiry and age.
		breaks("expiry is ignored", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				e.Expires = e.Expires.Add(2 * longLife)
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 2 expiry", "index rule 1 add"),
		breaks("expiry never moves on", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if old := find(m, owner, e.Key); old.Number != 0 {
					e.Expires = old.Expires
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index rule 2 expiry", "index rule 1 replace"),
		breaks("no expiry is told", each(func(e *entry) { e.Expires = time.Time{} }), "index rule 1 add"),
		breaks("no age", each(func(e *entry) { e.Age = 0 }), "index rule 2 age"),
		breaks("age in seconds", each(func(e *entry) { e.Age = e.Age.Truncate(time.Second) }), "index rule 2 age"),
		breaks("an age for all", func(m *reference, f *faulty) {
			f.entries = func(c ctx, owner key) ([]entry, error) {
				list, err := m.Entries(c, owner)
				var oldest time.Duration
				for _, e := range list {
					oldest = max(oldest, e.Age)
				}
				for i := range list {
					list[i].Age = oldest
				}
				return list, err
			}
		}, "index rule 2 age"),
		breaks("the age is a time", each(func(e *entry) { e.Age = time.Duration(time.Now().UnixNano()) }), "index rule 2 age", "index rule 1 add"),

		// Removal.
		breaks("at most 500 entries", func(m *reference, f *faulty) {
			f.entries = func(c ctx, owner key) ([]entry, error) {
				list, err := m.Entries(c, owner)
				return list[:min(len(list), 500)], err
			}
		}, "index rule 3 many"),
		breaks("removes at most 500", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				return m.RemoveEntries(c, owner, keys[:min(len(keys), 500)]...)
			}
		}, "index rule 3 many"),
		breaks("remove does nothing", func(m *reference, f *faulty) {
			f.remove = func(ctx, key, ...key) error { return nil }
		}, "index rule 3 remove", "index rule 4 concurrent use"),
		breaks("remove takes the record too", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				m.mu.Lock()
				for _, k := range keys {
					delete(m.records, k)
				}
				m.mu.Unlock()
				return m.RemoveEntries(c, owner, keys...)
			}
		}, "index rule 3 remove"),
		breaks("remove takes the owner's other sessions", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				list, err := m.Entries(c, owner)
				for _, e := range list {
					keys = append(keys, e.Key)
				}
				return errors.Join(err, m.RemoveEntries(c, owner, keys...))
			}
		}, "index rule 3 remove", "index rule 4 concurrent use"),
		breaks("remove is not idempotent", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				for _, k := range keys {
					if find(m, owner, k).Number == 0 {
						return stores.ErrNotFound
					}
				}
				return m.RemoveEntries(c, owner, keys...)
			}
		}, "index rule 3 remove"),
		breaks("remove takes other owners' entries", func(m *reference, f *faulty) {
			f.remove = func(c ctx, _ key, keys ...key) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				for _, list := range m.owners {
					for _, k := range keys {
						delete(list, k)
					}
				}
				return nil
			}
		}, "index rule 3 remove", "index rule 1 one key under two owners"),

		// The owner's record.
		breaks("the list is the owner's record", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				m.Put(c, owner, rec{Data: []byte("a list"), Expires: time.Now().Add(longLife)})
				return m.AddEntry(c, owner, e)
			}
		}, "index and the owner's record"),
		breaks("add is a write of the owner's record", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				if r, err := m.Load(c, owner, stores.Fresh); err == nil {
					m.Save(c, owner, r)
				}
				return m.AddEntry(c, owner, e)
			}
		}, "index and the owner's record"),
		breaks("a record takes the list's place", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				if err == nil {
					m.mu.Lock()
					delete(m.owners, k)
					m.mu.Unlock()
				}
				return v, err
			}
		}, "index and the owner's record"),
		breaks("the owner's record goes with the last entry", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				err := m.RemoveEntries(c, owner, keys...)
				if list, _ := m.Entries(c, owner); len(list) == 0 {
					m.mu.Lock()
					delete(m.records, owner)
					m.mu.Unlock()
				}
				return err
			}
		}, "index and the owner's record"),

		// Slices and concurrency.
		breaks("keeps the added slice", func(m *reference, f *faulty) {
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				n, err := m.AddEntry(c, owner, e)
				m.mu.Lock()
				defer m.mu.Unlock()
				w := m.owners[owner][e.Key]
				w.Data = e.Data
				m.owners[owner][e.Key] = w
				return n, err
			}
		}, "index rule 4 slices are the caller's"),
		breaks("sorts the keys", func(m *reference, f *faulty) {
			f.remove = func(c ctx, owner key, keys ...key) error {
				err := m.RemoveEntries(c, owner, keys...)
				clear(keys)
				return err
			}
		}, "index rule 4 slices are the caller's"),
		breaks("a list is read and written back", func(m *reference, f *faulty) {
			var mu sync.Mutex
			f.add = func(c ctx, owner key, e entry) (uint64, error) {
				mu.Lock()
				n, err := m.AddEntry(c, owner, e)
				m.mu.Lock()
				list := make(map[key]written)
				for k, w := range m.owners[owner] {
					list[k] = w
				}
				m.mu.Unlock()
				mu.Unlock()
				if len(list) > 40 { // a long list takes too much time
					return n, err
				}
				time.Sleep(time.Millisecond)
				m.mu.Lock()
				defer m.mu.Unlock()
				m.owners[owner] = list
				return n, err
			}
		}, "index rule 4 concurrent use"),
	})
}
