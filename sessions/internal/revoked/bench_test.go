package revoked

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

func randomKey() stores.Key {
	var hash [24]byte
	for i := 0; i < len(hash); i += 8 {
		n := rand.Uint64()
		for j := range 8 {
			hash[i+j] = byte(n >> (8 * j))
		}
	}
	return stores.NewKey(hash)
}

// What a request pays for the list: of a session that is not in it, with an owner.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{0, 1000, 1_000_000} {
		l, keys := filled(n)
		live := make([]stores.Key, 1<<16)
		for i := range live {
			live[i] = randomKey()
		}
		epochs := Epochs{Everybody: 1, Groups: []Group{{randomKey(), 2}}}.Bytes()
		look := func(b *testing.B, keys []stores.Key) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.Int(); pb.Next(); i++ {
					if err := l.Usable(context.Background()); err != nil {
						b.Fatal(err)
					}
					l.Look(keys[i%len(keys)], epochs)
				}
			})
		}
		b.Run(fmt.Sprintf("live/%d", n), func(b *testing.B) { look(b, live) })
		if n > 0 {
			b.Run(fmt.Sprintf("ended/%d", n), func(b *testing.B) { look(b, keys) })
		}
	}
}

// pages is a list of n entries, in pages of 2000 as Redis gives them, that costs nothing
// itself.
type pages struct {
	stores.RevocationList
	entries []stores.Revocation
	size    int // of a page; 0: 2000
}

func (p *pages) Get(_ context.Context, keys ...stores.Key) ([]string, error) {
	return []string{numberValue(kindBorn, 1)}, nil
}

func (p *pages) Swap(_ context.Context, _ string, e stores.Revocation) (string, error) {
	return e.Value, nil
}

func (p *pages) Since(_ context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	n, _ := strconv.Atoi(string(after))
	end := min(n+cmp.Or(p.size, 2000), len(p.entries))
	return stores.RevocationPage{Entries: p.entries[n:end], Next: stores.Cursor(strconv.Itoa(end)), More: end < len(p.entries)}, nil
}

// A million entries: how long a process takes to load them, what they take in memory,
// and what one reading costs when nothing is new.
func BenchmarkMillion(b *testing.B) {
	p := &pages{}
	for range 1_000_000 {
		p.entries = append(p.entries, stores.Revocation{Key: randomKey(), Value: "E", Until: time.Now().Add(24 * time.Hour)})
	}
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var l *List
	b.Run("load", func(b *testing.B) {
		for range b.N {
			l = nil
			before := memory()
			b.StartTimer()
			l = New(Config{List: p, Lifetime: time.Hour})
			if err := l.read(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(memory()-before)/1e6, "bytes/entry")
		}
	})
	b.Run("refresh", func(b *testing.B) {
		l.places = []place{{"1000000", -time.Hour}}
		l.nextAll = time.Hour
		b.ReportAllocs()
		for range b.N {
			if err := l.read(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) { // all of it, as once in an hour
		for range b.N {
			l.nextAll = 0
			if err := l.readAgain(context.Background(), time.Hour); err != nil {
				b.Fatal(err)
			}
		}
	})
}
