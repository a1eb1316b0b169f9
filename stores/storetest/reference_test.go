package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// reference is the contract in its shortest form: maps under one lock.
type reference struct {
	mu      sync.Mutex
	records map[stores.Key]stores.Record
	owners  map[stores.Key]map[stores.Key]written
	writes  int    // for revisions
	numbers uint64 // of entries

	// revision returns that of a write over old, which is zero where nothing
	// is. Stores with a fault replace it.
	revision func(old, rec stores.Record) stores.Revision
}

type written struct {
	stores.Entry
	at time.Time
}

func newReference() *reference {
	m := &reference{
		records: make(map[stores.Key]stores.Record),
		owners:  make(map[stores.Key]map[stores.Key]written),
	}
	m.revision = func(stores.Record, stores.Record) stores.Revision {
		m.writes++
		return stores.Revision(strconv.Itoa(m.writes))
	}
	return m
}

// at returns the live record, or a zero one.
func (m *reference) at(key stores.Key) stores.Record {
	if rec := m.records[key]; rec.Expires.After(time.Now()) {
		rec.Data = bytes.Clone(rec.Data)
		return rec
	}
	return stores.Record{}
}

func (m *reference) write(key stores.Key, rec stores.Record) stores.Revision {
	rec.Revision = m.revision(m.at(key), rec)
	rec.Data = bytes.Clone(rec.Data)
	m.records[key] = rec
	return rec.Revision
}

func (m *reference) Load(_ context.Context, key stores.Key, _ stores.Freshness) (stores.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.at(key)
	if rec.Revision == "" {
		return stores.Record{}, stores.ErrNotFound
	}
	return rec, nil
}

func (m *reference) Save(_ context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at(key).Revision != rec.Revision {
		return "", fmt.Errorf("%w: Save", stores.ErrConflict)
	}
	return m.write(key, rec), nil
}

func (m *reference) Put(_ context.Context, key stores.Key, rec stores.Record) error {
	if err := stores.CheckExpires(rec); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.write(key, rec)
	return nil
}

func (m *reference) Touch(_ context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.at(key)
	if rev == "" || rec.Revision != rev {
		return "", stores.ErrConflict
	}
	if expires.After(rec.Expires) {
		rec.Expires = expires
		m.records[key] = rec
	}
	return rev, nil
}

func (m *reference) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	recs := make([]stores.Record, len(keys))
	for i, key := range keys {
		recs[i], _ = m.Load(ctx, key, stores.Fresh)
	}
	return recs, nil
}

func (m *reference) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	for _, rec := range recs {
		if err := stores.CheckExpires(rec); err != nil {
			return nil, err
		}
	}
	conflicts := make([]bool, len(keys))
	for i, key := range keys {
		_, err := m.Save(ctx, key, recs[i])
		conflicts[i] = err != nil
	}
	return conflicts, nil
}

func (m *reference) AddEntry(_ context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.owners[owner]
	if list == nil {
		list = make(map[stores.Key]written)
		m.owners[owner] = list
	}
	if e.Number == 0 {
		if e.Number = list[e.Key].Number; e.Number == 0 {
			e.Number = m.numbers + 1
		}
	}
	m.numbers = max(m.numbers, e.Number)
	e.Data = bytes.Clone(e.Data)
	list[e.Key] = written{e, time.Now()}
	return e.Number, nil
}

func (m *reference) Entries(_ context.Context, owner stores.Key) ([]stores.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []stores.Entry
	for _, w := range m.owners[owner] {
		if w.Expires.After(time.Now()) {
			w.Data = bytes.Clone(w.Data)
			w.Age = time.Since(w.at)
			list = append(list, w.Entry)
		}
	}
	return list, nil
}

func (m *reference) RemoveEntries(_ context.Context, owner stores.Key, keys ...stores.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.owners[owner], key)
	}
	return nil
}

func (m *reference) Count(context.Context) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.records {
		if m.at(key).Revision != "" {
			n++
		}
	}
	return n, nil
}
