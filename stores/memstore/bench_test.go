package memstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// full returns a store with n sessions of 200 bytes.
func full(b *testing.B, n int) (*memstore.Store, []stores.Key) {
	store := newStore(b)
	keys := make([]stores.Key, n)
	rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
	for i := range keys {
		keys[i] = newKey()
		if _, err := store.Save(context.Background(), keys[i], rec); err != nil {
			b.Fatal(err)
		}
	}
	return store, keys
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("sessions=", n), func(b *testing.B) {
			store, keys := full(b, n)
			ctx := context.Background()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := store.Load(ctx, keys[i%n], stores.Fresh); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkLoadParallel(b *testing.B) {
	store, keys := full(b, 10_000)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(keys)); pb.Next(); i++ {
			if _, err := store.Load(ctx, keys[i%len(keys)], stores.Fresh); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkReplaceParallel(b *testing.B) {
	store, keys := full(b, 10_000)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		// Each goroutine has a session of its own, so that none conflicts.
		rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
		key := newKey()
		rev, err := store.Save(ctx, key, rec)
		for err == nil && pb.Next() {
			rec.Revision = rev
			rev, err = store.Save(ctx, key, rec)
		}
		if err != nil {
			b.Error(err)
		}
	})
	runtime.KeepAlive(keys)
}

func BenchmarkCreate(b *testing.B) {
	store := newStore(b, memstore.WithMaxSessions(1<<30))
	ctx := context.Background()
	rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Save(ctx, newKey(), rec); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse is what an attack costs who fills the store.
func BenchmarkRefuse(b *testing.B) {
	store := newStore(b, memstore.WithMaxSessions(10_000))
	ctx := context.Background()
	rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
	for range 10_000 {
		if _, err := store.Save(ctx, newKey(), rec); err != nil {
			b.Fatal(err)
		}
	}
	key := newKey()
	for b.Loop() {
		if _, err := store.Save(ctx, key, rec); err == nil {
			b.Fatal("saved")
		}
	}
}

// BenchmarkAddEntry is an owner's login and logout, beside as many sessions.
func BenchmarkAddEntry(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		b.Run(fmt.Sprint("entries=", n), func(b *testing.B) {
			store := newStore(b)
			owner := addEntries(b, store, n, time.Hour)
			e := stores.Entry{Key: newKey(), Data: make([]byte, 100), Expires: time.Now().Add(time.Hour)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.AddEntry(b.Context(), owner, e); err != nil {
					b.Fatal(err)
				}
				if err := store.RemoveEntries(b.Context(), owner, e.Key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory compares the heap of a million sessions of 200 bytes with
// that of the plainest store one could write: one map, no expiry sweep.
func BenchmarkMemory(b *testing.B) {
	const sessions = 1_000_000
	b.Run("memstore", func(b *testing.B) {
		for b.Loop() {
			before := heap()
			store := newStore(b)
			rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
			for range sessions {
				if _, err := store.Save(context.Background(), newKey(), rec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(heap()-before)/sessions, "B/session")
			runtime.KeepAlive(store)
		}
	})
	b.Run("map", func(b *testing.B) {
		type item struct {
			object     []byte
			expiration int64
		}
		for b.Loop() {
			before := heap()
			items := make(map[string]item)
			for i := range sessions {
				key := strings.Clone(fmt.Sprintf("%043d", i))
				items[key] = item{make([]byte, 200), time.Now().Add(time.Hour).UnixNano()}
			}
			b.ReportMetric(float64(heap()-before)/sessions, "B/session")
			runtime.KeepAlive(items)
		}
	})
}

// What a gauge costs.
func BenchmarkCount(b *testing.B) {
	const records = 1_000_000
	s, err := memstore.New(memstore.WithMaxSessions(records))
	if err != nil {
		b.Fatal(err)
	}
	for i := range records {
		var hash [24]byte
		binary.BigEndian.PutUint64(hash[:], uint64(i)*0x9e3779b97f4a7c15)
		if _, err := s.Save(b.Context(), stores.NewKey(hash), stores.Record{Data: []byte("x"), Expires: time.Now().Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if n, err := s.Count(b.Context()); err != nil || n != records {
			b.Fatal(n, err)
		}
	}
}
