package cookiestore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// eachStore runs f with each store and a record of 200 bytes.
func eachStore(b *testing.B, f func(b *testing.B, store stores.Store, rec stores.Record)) {
	for name, store := range map[string]stores.Store{
		"Sealed": cookiestore.Sealed(),
		"Signed": newSigned(b, encrypt.GenerateKey()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f(b, store, record(strings.Repeat("x", 200)))
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	eachStore(b, func(b *testing.B, store stores.Store, rec stores.Record) {
		tok, _, err := store.Save(b.Context(), newToken("session"), rec)
		require.NoError(b, err)
		for b.Loop() {
			if _, err := store.Load(b.Context(), tok); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSave(b *testing.B) {
	eachStore(b, func(b *testing.B, store stores.Store, rec stores.Record) {
		tok := newToken("session")
		for b.Loop() {
			if _, _, err := store.Save(b.Context(), tok, rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
