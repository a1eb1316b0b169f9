package firestorestore_test

import (
	"context"
	"testing"

	"github.com/bulla-go/bulla/stores"
)

// These measure what the client and this package cost, over loopback; a real
// Firestore adds its own milliseconds.

func BenchmarkLoad(b *testing.B) {
	f := newFixture(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Load(context.Background(), f.key, stores.MayBeStale); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSave(b *testing.B) {
	f := newFixture(b)
	b.ReportAllocs()
	for b.Loop() {
		f.rev = f.save(b, f.key, f.rev, "two")
	}
}
