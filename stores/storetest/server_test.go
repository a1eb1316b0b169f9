package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

func TestServerFaults(t *testing.T) {
	requireFailures(t, []string{"rule "}, []broken{
		// Rule 1.
		breaks("no revision", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				_, err := m.Save(c, k, r)
				return "", err
			}
		}, "rule 1 create"),
		breaks("a revision of another write", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				if err == nil {
					v += "0"
				}
				return v, err
			}
		}, "rule 1 create", "rule 1 replace"),
		breaks("one record for all", func(m *reference, f *faulty) {
			f.save = func(c ctx, _ key, r rec) (rev, error) { return m.Save(c, key{}, r) }
			f.load = func(c ctx, _ key, fresh stores.Freshness) (rec, error) { return m.Load(c, key{}, fresh) }
			f.put = func(c ctx, _ key, r rec) error { return m.Put(c, key{}, r) }
		}, "rule 1 create", "rule 3 put"),
		breaks("create overwrites", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if r.Revision == "" {
					r.Revision = m.current(k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 create where a record is", "rule 1 create what continues", "rule 1 many creates at once", "rule 3 put and create at once"),
		breaks("what continues overwrites", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if r.Continues {
					r.Revision = m.current(k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 create what continues"),
		breaks("an expired record is in the way", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				m.mu.Lock()
				_, there := m.records[k]
				m.mu.Unlock()
				if there && r.Revision == "" && stores.CheckExpires(r) == nil {
					return "", stores.ErrConflict
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 create over an expired record", "rule 1 many creates at once", "rule 1 replace a record that was created anew"),
		breaks("replace keeps the first data", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if old, err := m.Load(c, k, stores.Fresh); err == nil && r.Revision != "" {
					r.Data = old.Data
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 replace"),
		breaks("the last write wins", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if r.Revision != "" {
					r.Revision = m.current(k)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 replace an older revision", "rule 1 replace with another record's revision",
			"rule 1 replace with a revision that never was", "rule 1 replace a record that is gone",
			"rule 1 many replaces at once", "rule 1 many changes at once", "rule 3 put and replace at once"),
		breaks("any revision that was given out will do", func(m *reference, f *faulty) {
			var mu sync.Mutex
			given := make(map[rev]bool)
			f.save = func(c ctx, k key, r rec) (rev, error) {
				mu.Lock()
				defer mu.Unlock()
				if given[r.Revision] {
					r.Revision = m.current(k)
				}
				v, err := m.Save(c, k, r)
				given[v] = err == nil
				return v, err
			}
		}, "rule 1 replace with another record's revision", "rule 1 replace an older revision"),
		breaks("looks and writes in two steps", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if m.current(k) != r.Revision {
					return "", stores.ErrConflict
				}
				time.Sleep(time.Millisecond)
				r.Revision = m.current(k)
				return m.Save(c, k, r)
			}
		}, "rule 1 many creates at once", "rule 1 many replaces at once", "rule 1 many changes at once",
			"rule 3 put and replace at once", "rule 3 put and create at once"),
		breaks("data and revision are read one after the other", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				time.Sleep(time.Millisecond)
				if v := m.current(k); err == nil && v != "" {
					r.Revision = v
				}
				return r, err
			}
		}, "rule 1 many changes at once", "rule 5 loads and replaces at once"),
		breaks("data and expiry are read one after the other", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				time.Sleep(time.Millisecond)
				if now, nowErr := m.Load(c, k, fresh); err == nil && nowErr == nil {
					r.Expires = now.Expires
				}
				return r, err
			}
		}, "rule 5 loads and replaces at once"),
		breaks("data grows under the reader", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				time.Sleep(300 * time.Microsecond)
				if now, nowErr := m.Load(c, k, fresh); err == nil && nowErr == nil && len(now.Data) > len(r.Data) {
					r.Data = append(r.Data, now.Data[len(r.Data):]...)
				}
				return r, err
			}
		}, "rule 5 loads and replaces at once"),
		breaks("a conflict is forgotten", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				if errors.Is(err, stores.ErrConflict) {
					return m.current(k) + "0", nil
				}
				return v, err
			}
		}, "rule 1 create where a record is", "rule 1 many creates at once", "rule 1 many changes at once"),
		breaks("a conflict with a revision", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				if err != nil {
					v = m.current(k)
				}
				return v, err
			}
		}, "rule 1 create where a record is", "rule 1 replace an older revision"),
		breaks("replace brings records back", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if m.current(k) == "" {
					r.Revision = ""
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 replace a record that is gone", "rule 1 replace with a revision that never was"),
		breaks("not found for what is gone", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if r.Revision != "" && m.current(k) == "" {
					return "", stores.ErrNotFound
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 replace a record that is gone", "rule 1 replace with a revision that never was"),
		breaks("unavailable for a revision of another form", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if _, err := strconv.ParseUint("0"+string(r.Revision), 10, 64); err != nil {
					return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
				}
				return m.Save(c, k, r)
			}
		}, "rule 1 replace with a revision that never was"),
		breaks("revisions count from one", func(m *reference, f *faulty) {
			m.revision = func(old, _ rec) rev {
				n, _ := strconv.Atoi(string(old.Revision))
				return rev(strconv.Itoa(n + 1))
			}
		}, "rule 1 replace a record that was created anew", "rule 1 replace with another record's revision", "rule 1 every write has its own revision"),
		breaks("revision of the data", func(m *reference, f *faulty) {
			m.revision = func(_, r rec) rev { return rev("hash of " + string(r.Data)) }
		}, "rule 1 every write has its own revision", "rule 1 replace a record that was created anew"),
		breaks("the same again is no write", func(m *reference, f *faulty) {
			own := m.revision
			m.revision = func(old, r rec) rev {
				if string(old.Data) == string(r.Data) && old.Expires.Equal(r.Expires) {
					return old.Revision
				}
				return own(old, r)
			}
		}, "rule 1 every write has its own revision"),

		// Rule 2.
		breaks("missing is unavailable", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				if err != nil {
					err = fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
				}
				return r, err
			}
		}, "rule 2 missing record", "rule 2 expired record"),
		breaks("missing is an empty record", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, _ := m.Load(c, k, fresh)
				return r, nil
			}
		}, "rule 2 missing record", "rule 2 expired record"),
		breaks("nothing expires", func(m *reference, f *faulty) {
			longer := func(r rec) rec {
				if r.Expires.After(time.Now()) {
					r.Expires = r.Expires.Add(time.Hour)
				}
				return r
			}
			f.save = func(c ctx, k key, r rec) (rev, error) { return m.Save(c, k, longer(r)) }
			f.put = func(c ctx, k key, r rec) error { return m.Put(c, k, longer(r)) }
		}, "rule 2 expired record", "rule 4 expiry comes back", "rule 1 replace a record that is gone",
			"rule 3 put is idempotent", "rule 3 put ends a record", "rule 4 a write shortens a life"),
		breaks("what was put does not expire", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if r.Expires.After(time.Now()) {
					r.Expires = r.Expires.Add(time.Hour)
				}
				return m.Put(c, k, r)
			}
		}, "rule 2 expired record", "rule 3 put ends a record"),
		breaks("an ended context is no session", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				if c.Err() != nil {
					return rec{}, fmt.Errorf("%w: %w", stores.ErrNotFound, c.Err())
				}
				return m.Load(c, k, fresh)
			}
		}, "rule 2 ended context"),
		breaks("an ended context is an outage", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if c.Err() != nil {
					return stores.ErrUnavailable
				}
				return m.Put(c, k, r)
			}
		}, "rule 2 ended context"),
		breaks("too large is an outage", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if len(r.Data) > 1<<20 {
					return "", stores.ErrUnavailable
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 too large"),
		breaks("too large is cut off", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				r.Data = r.Data[:min(len(r.Data), 1<<20)]
				return m.Put(c, k, r)
			}
		}, "rule 2 too large"),
		breaks("too large leaves nothing", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if len(r.Data) > 1<<20 {
					r.Data = nil
					_, err := m.Save(c, k, r)
					return "", errors.Join(stores.ErrTooLarge, err)
				}
				return m.Save(c, k, r)
			}
		}, "rule 2 too large"),
		breaks("the cache is never refreshed", func(m *reference, f *faulty) {
			var cache sync.Map
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				if r, ok := cache.Load(k); ok && fresh == stores.MayBeStale {
					return r.(rec), nil
				}
				r, err := m.Load(c, k, fresh)
				if err == nil && fresh == stores.MayBeStale {
					cache.Store(k, r)
				}
				return r, err
			}
		}, "rule 1 replace", "rule 3 put"),

		// Rule 3.
		breaks("put needs a record", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if m.current(k) == "" {
					return stores.CheckExpires(r)
				}
				return m.Put(c, k, r)
			}
		}, "rule 3 put", "rule 3 put over an expired record", "rule 3 put ignores the revision"),
		breaks("put only creates", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if m.current(k) != "" {
					return stores.ErrConflict
				}
				return m.Put(c, k, r)
			}
		}, "rule 3 put", "rule 3 put is idempotent", "rule 3 put and replace at once"),
		breaks("put once", func(m *reference, f *faulty) {
			var mu sync.Mutex
			done := make(map[string]bool)
			f.put = func(c ctx, k key, r rec) error {
				mu.Lock()
				defer mu.Unlock()
				if id := k.Name() + string(r.Data); done[id] {
					return stores.ErrConflict
				} else if err := m.Put(c, k, r); err != nil {
					return err
				} else {
					done[id] = true
				}
				return nil
			}
		}, "rule 3 put is idempotent"),
		breaks("an expired record is not put over", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				m.mu.Lock()
				old, there := m.records[k]
				m.mu.Unlock()
				if there && !old.Expires.After(time.Now()) {
					return stores.ErrConflict
				}
				return m.Put(c, k, r)
			}
		}, "rule 3 put over an expired record"),
		breaks("put heeds the revision", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if r.Revision != "" && r.Revision != m.current(k) {
					return stores.ErrConflict
				}
				return m.Put(c, k, r)
			}
		}, "rule 3 put ignores the revision"),
		breaks("put keeps the revision", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if err := stores.CheckExpires(r); err != nil {
					return err
				}
				m.mu.Lock()
				defer m.mu.Unlock()
				old := m.at(k).Revision
				if m.write(k, r); old != "" {
					r = m.records[k]
					r.Revision = old
					m.records[k] = r
				}
				return nil
			}
		}, "rule 1 replace an older revision", "rule 1 every write has its own revision", "rule 3 put and replace at once"),
		breaks("put keeps the longer life", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if old, err := m.Load(c, k, stores.Fresh); err == nil && old.Expires.After(r.Expires) && stores.CheckExpires(r) == nil {
					r.Expires = old.Expires
				}
				return m.Put(c, k, r)
			}
		}, "rule 3 put ends a record", "rule 4 expiry comes back"),
		breaks("put is a save", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				r.Revision = m.current(k)
				time.Sleep(time.Millisecond)
				_, err := m.Save(c, k, r)
				return err
			}
		}, "rule 3 many puts at once", "rule 3 put and replace at once", "rule 3 put and create at once"),

		// Rule 4.
		breaks("any expiry is saved", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if !r.Expires.After(time.Now()) {
					r.Expires = time.Now().Add(24 * time.Hour)
				}
				return m.Save(c, k, r)
			}
		}, "rule 4 invalid expiry"),
		breaks("any expiry is put", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				if !r.Expires.After(time.Now()) {
					r.Expires = time.Now().Add(24 * time.Hour)
				}
				return m.Put(c, k, r)
			}
		}, "rule 4 invalid expiry"),
		breaks("a refused record is written", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				err := stores.CheckExpires(r)
				if err != nil {
					r.Expires = time.Now().Add(time.Hour)
				}
				v, saveErr := m.Save(c, k, r)
				return v, errors.Join(err, saveErr)
			}
		}, "rule 4 invalid expiry"),
		breaks("whole seconds", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				r.Expires = r.Expires.Truncate(time.Second)
				return r, err
			}
		}, "rule 4 expiry comes back"),
		breaks("never a shorter expiry", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if old, err := m.Load(c, k, stores.Fresh); err == nil && old.Expires.After(r.Expires) && r.Revision != "" && stores.CheckExpires(r) == nil {
					r.Expires = old.Expires
				}
				return m.Save(c, k, r)
			}
		}, "rule 4 a write shortens a life"),
		breaks("a replaced record goes at its first expiry", firstExpiry(true), "rule 4 a write lengthens a life"),

		// Rule 5.
		breaks("text only", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				r.Data = []byte(strings.ToValidUTF8(string(r.Data), "?"))
				return m.Save(c, k, r)
			}
		}, "rule 5 data"),
		breaks("puts text only", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				r.Data = []byte(strings.ToValidUTF8(string(r.Data), "?"))
				return m.Put(c, k, r)
			}
		}, "rule 5 data"),
		breaks("at most 32 KiB", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				r.Data = r.Data[:min(len(r.Data), 32<<10)]
				return m.Save(c, k, r)
			}
		}, "rule 5 data"),
		breaks("keeps the saved slice", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				if err == nil {
					m.keep(k, r.Data)
				}
				return v, err
			}
		}, "rule 5 written slices are the caller's"),
		breaks("keeps the slice that was put", func(m *reference, f *faulty) {
			f.put = func(c ctx, k key, r rec) error {
				err := m.Put(c, k, r)
				if err == nil {
					m.keep(k, r.Data)
				}
				return err
			}
		}, "rule 5 written slices are the caller's"),
		breaks("hands out its own slice", func(m *reference, f *faulty) {
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				m.mu.Lock()
				defer m.mu.Unlock()
				r.Data = m.records[k].Data
				return r, err
			}
		}, "rule 5 loaded slices are the caller's"),
		breaks("hands out one slice", func(m *reference, f *faulty) {
			shared := make([]byte, 100)
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := m.Load(c, k, fresh)
				// Where goroutines meet, the race detector finds it first.
				if strings.HasPrefix(string(r.Data), "the ") {
					r.Data = shared[:copy(shared, r.Data)]
				}
				return r, err
			}
		}, "rule 5 loaded slices are the caller's"),
		breaks("changes its arguments", func(m *reference, f *faulty) {
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := m.Save(c, k, r)
				clear(r.Data)
				return v, err
			}
		}, "rule 5 written slices are the caller's"),
		breaks("mixes records up", func(m *reference, f *faulty) {
			var last rec
			var mu sync.Mutex
			f.save = func(c ctx, k key, r rec) (rev, error) {
				mu.Lock()
				last = r
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				return m.Save(c, k, last)
			}
		}, "rule 5 concurrent use"),
	})
}

// keep leaves the caller's slice in k's record.
func (m *reference) keep(k key, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[k]
	r.Data = data
	m.records[k] = r
}

// firstExpiry makes a store whose records go at the time that they were created
// with, as where the database's own expiry is not moved.
func firstExpiry(replaced bool) func(m *reference, f *faulty) {
	return func(m *reference, f *faulty) {
		var mu sync.Mutex
		first := make(map[key]time.Time)
		f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
			mu.Lock()
			defer mu.Unlock()
			if until, ok := first[k]; ok && !until.After(time.Now()) {
				return rec{}, stores.ErrNotFound
			}
			return m.Load(c, k, fresh)
		}
		f.save = func(c ctx, k key, r rec) (rev, error) {
			mu.Lock()
			defer mu.Unlock()
			v, err := m.Save(c, k, r)
			if _, ok := first[k]; err == nil && (!ok || r.Revision == "" || !replaced) {
				first[k] = r.Expires
			}
			return v, err
		}
	}
}
