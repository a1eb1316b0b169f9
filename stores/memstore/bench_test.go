package memstore_test

import (
	"context"
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
func full(b *testing.B, n int) (*memstore.Store, []stores.Token) {
	store := newStore(b)
	toks := make([]stores.Token, n)
	rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
	for i := range toks {
		var err error
		if toks[i], _, err = store.Save(context.Background(), newToken(), rec); err != nil {
			b.Fatal(err)
		}
	}
	return store, toks
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("sessions=", n), func(b *testing.B) {
			store, toks := full(b, n)
			ctx := context.Background()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := store.Load(ctx, toks[i%n]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkLoadParallel(b *testing.B) {
	store, toks := full(b, 10_000)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(toks)); pb.Next(); i++ {
			if _, err := store.Load(ctx, toks[i%len(toks)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkReplaceParallel(b *testing.B) {
	store, toks := full(b, 10_000)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		// Each goroutine has a session of its own, so that none conflicts.
		rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
		tok, rev, err := store.Save(ctx, newToken(), rec)
		for err == nil && pb.Next() {
			rec.Revision = rev
			_, rev, err = store.Save(ctx, tok, rec)
		}
		if err != nil {
			b.Error(err)
		}
	})
	runtime.KeepAlive(toks)
}

func BenchmarkCreate(b *testing.B) {
	store := newStore(b, memstore.WithMaxSessions(1<<30))
	ctx := context.Background()
	rec := stores.Record{Data: make([]byte, 200), Expires: time.Now().Add(time.Hour)}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := store.Save(ctx, newToken(), rec); err != nil {
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
		if _, _, err := store.Save(ctx, newToken(), rec); err != nil {
			b.Fatal(err)
		}
	}
	tok := newToken()
	for b.Loop() {
		if _, _, err := store.Save(ctx, tok, rec); err == nil {
			b.Fatal("saved")
		}
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
				if _, _, err := store.Save(context.Background(), newToken(), rec); err != nil {
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
