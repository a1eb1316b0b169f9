package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

func TestBatcherFaults(t *testing.T) {
	requireFailures(t, []string{"Batcher"}, []broken{
		breaks("missing records are left out", func(m *reference, f *faulty) {
			f.loadMany = func(c ctx, keys []key) ([]rec, error) {
				recs, err := m.LoadMany(c, keys)
				return slices.DeleteFunc(recs, func(r rec) bool { return r.Revision == "" }), err
			}
		}, "Batcher loads"),
		breaks("expired records are loaded", func(m *reference, f *faulty) {
			f.loadMany = func(_ ctx, keys []key) ([]rec, error) {
				m.mu.Lock()
				defer m.mu.Unlock()
				recs := make([]rec, len(keys))
				for i, k := range keys {
					recs[i] = m.records[k]
					recs[i].Data = slices.Clone(recs[i].Data)
				}
				return recs, nil
			}
		}, "Batcher loads"),
		breaks("a missing record is an error", func(m *reference, f *faulty) {
			f.loadMany = func(c ctx, keys []key) ([]rec, error) {
				recs, err := m.LoadMany(c, keys)
				if slices.ContainsFunc(recs, func(r rec) bool { return r.Revision == "" }) {
					return nil, stores.ErrNotFound
				}
				return recs, err
			}
		}, "Batcher loads"),
		breaks("another order", func(m *reference, f *faulty) {
			f.loadMany = func(c ctx, keys []key) ([]rec, error) {
				recs, err := m.LoadMany(c, keys)
				slices.Reverse(recs)
				return recs, err
			}
		}, "Batcher loads", "Batcher many"),
		breaks("sorts the keys", func(m *reference, f *faulty) {
			f.loadMany = func(c ctx, keys []key) ([]rec, error) {
				recs, err := m.LoadMany(c, keys)
				slices.Reverse(keys)
				return recs, err
			}
		}, "Batcher loads"),
		breaks("none is an error", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				if len(keys) == 0 {
					return nil, stores.ErrUnavailable
				}
				return m.SaveMany(c, keys, recs)
			}
		}, "Batcher saves"),
		breaks("at most 500", func(m *reference, f *faulty) {
			f.loadMany = func(c ctx, keys []key) ([]rec, error) {
				recs, err := m.LoadMany(c, keys[:min(len(keys), 500)])
				return append(recs, make([]rec, len(keys)-len(recs))...), err
			}
		}, "Batcher many"),
		breaks("saves at most 500", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				n := min(len(keys), 500)
				conflicts, err := m.SaveMany(c, keys[:n], recs[:n])
				return append(conflicts, make([]bool, len(keys)-n)...), err
			}
		}, "Batcher many"),
		breaks("SaveMany overwrites", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				for i, k := range keys {
					if err := m.Put(c, k, recs[i]); err != nil {
						return nil, err
					}
				}
				return make([]bool, len(keys)), nil
			}
		}, "Batcher saves", "Batcher many", "Batcher many at once"),
		breaks("one conflict for all", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				conflicts, err := m.SaveMany(c, keys, recs)
				if slices.Contains(conflicts, true) {
					for i := range conflicts {
						conflicts[i] = true
					}
				}
				return conflicts, err
			}
		}, "Batcher saves"),
		breaks("a conflict is an error", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				conflicts, err := m.SaveMany(c, keys, recs)
				if slices.Contains(conflicts, true) {
					err = stores.ErrConflict
				}
				return conflicts, err
			}
		}, "Batcher saves", "Batcher many at once"),
		breaks("looks at all, then writes all", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				conflicts := make([]bool, len(keys))
				for i, k := range keys {
					if err := stores.CheckExpires(recs[i]); err != nil {
						return nil, err
					}
					conflicts[i] = m.current(k) != recs[i].Revision
				}
				time.Sleep(time.Millisecond)
				for i, k := range keys {
					if !conflicts[i] {
						m.Put(c, k, recs[i])
					}
				}
				return conflicts, nil
			}
		}, "Batcher many at once"),
		breaks("SaveMany takes any expiry", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				for i := range recs {
					if !recs[i].Expires.After(time.Now()) {
						recs[i].Expires = time.Now().Add(time.Hour)
					}
				}
				return m.SaveMany(c, keys, recs)
			}
		}, "Batcher invalid expiry"),
		breaks("SaveMany keeps the slices", func(m *reference, f *faulty) {
			f.saveMany = func(c ctx, keys []key, recs []rec) ([]bool, error) {
				conflicts, err := m.SaveMany(c, keys, recs)
				for i, conflict := range conflicts {
					if !conflict {
						m.keep(keys[i], recs[i].Data)
					}
				}
				return conflicts, err
			}
		}, "Batcher slices are the caller's"),
	})
}
