package storetest

import (
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

func TestToucherFaults(t *testing.T) {
	requireFailures(t, []string{"Toucher"}, []broken{
		breaks("touch does nothing", func(m *reference, f *faulty) {
			f.touch = func(_ ctx, _ key, v rev, _ time.Time) (rev, error) { return v, nil }
		}, "Toucher lengthens", "Toucher keeps a record alive", "Toucher of another revision", "Toucher of a record that is gone"),
		breaks("touch returns no revision", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				_, err := m.Touch(c, k, v, until)
				return "", err
			}
		}, "Toucher lengthens"),
		breaks("the revision from before", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k, stores.Fresh)
				if err != nil || r.Revision != v {
					return "", stores.ErrConflict
				}
				r.Expires = until
				_, err = m.Save(c, k, r)
				return v, err
			}
		}, "Toucher lengthens"),
		breaks("touch shortens", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k, stores.Fresh)
				if err != nil || r.Revision != v {
					return "", stores.ErrConflict
				}
				if !until.After(time.Now()) {
					return "", stores.ErrInvalidRecord
				}
				r.Expires = until
				return m.Save(c, k, r)
			}
		}, "Toucher never shortens"),
		breaks("touch ends what is touched with a past time", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				got, err := m.Touch(c, k, v, until)
				if err == nil && until.Before(time.Now()) {
					m.mu.Lock()
					defer m.mu.Unlock()
					delete(m.records, k)
				}
				return got, err
			}
		}, "Toucher never shortens"),
		breaks("touch creates", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				if m.current(k) == "" {
					return m.Save(c, k, rec{Expires: until})
				}
				return m.Touch(c, k, v, until)
			}
		}, "Toucher of a record that is gone"),
		breaks("not found for what is gone", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				if m.current(k) == "" {
					return "", stores.ErrNotFound
				}
				return m.Touch(c, k, v, until)
			}
		}, "Toucher of a record that is gone"),
		breaks("touch ignores the revision", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				return m.Touch(c, k, m.current(k), until)
			}
		}, "Toucher of another revision", "Toucher of a record that is gone"),
		breaks("touch writes old data", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k, stores.Fresh)
				if err != nil {
					return "", stores.ErrConflict
				}
				time.Sleep(time.Millisecond)
				r.Revision, r.Expires = m.current(k), until
				return m.Save(c, k, r)
			}
		}, "Toucher and replace at once"),
		breaks("the last touch wins", func(m *reference, f *faulty) {
			f.touch = func(c ctx, k key, v rev, until time.Time) (rev, error) {
				r, err := m.Load(c, k, stores.Fresh)
				if err != nil || r.Revision != v {
					return "", stores.ErrConflict
				}
				time.Sleep(2*longLife/60 - time.Until(until)/60) // the earliest comes last
				m.mu.Lock()
				defer m.mu.Unlock()
				r = m.records[k]
				r.Expires = until
				m.records[k] = r
				return v, nil
			}
		}, "Toucher many at once"),
		breaks("a touched record goes at its first expiry", firstExpiry(false), "Toucher keeps a record alive"),
	})
}
