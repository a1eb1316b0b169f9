//go:build unix

package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// Each operation stands beside what it would cost without the store: one GET of
// the same size on the same client.
func Benchmark(b *testing.B) {
	client := newClient(b, &redis.Options{Addr: redistest.Single(b).Addr})
	ctx := context.Background()
	store := newStore(b, client)
	data := string(make([]byte, 1000))
	key := newKey()
	rev := save(b, store, key, data, "")

	b.Run("plain GET", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := client.Get(ctx, keyOf(key)).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := store.Load(ctx, key, stores.Fresh); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Save", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rev = save(b, store, key, data, rev)
		}
	})
	b.Run("Touch", func(b *testing.B) {
		b.ReportAllocs()
		until := time.Now().Add(2 * time.Hour)
		for b.Loop() {
			until = until.Add(time.Second)
			if _, err := store.Touch(ctx, key, rev, until); err != nil {
				b.Fatal(err)
			}
		}
	})
	loads := func(store *redisstore.Store) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := store.Load(ctx, key, stores.Fresh); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	b.Run("Load in parallel", loads(store))
	piped, err := client.AutoPipeline()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Load in parallel, auto-pipelined", loads(newStore(b, piped)))
}
