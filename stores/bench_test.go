package stores_test

import (
	"testing"

	"github.com/bulla-go/bulla/stores"
)

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		stores.NewID()
	}
}

func BenchmarkKey(b *testing.B) {
	id := stores.NewID()
	b.ReportAllocs()
	for b.Loop() {
		id.Key()
	}
}

func BenchmarkParseToken(b *testing.B) {
	for name, tok := range map[string]stores.Token{
		"ID":      {ID: stores.NewID()},
		"payload": {ID: stores.NewID(), Payload: stores.EncodePayload(make([]byte, 300))},
	} {
		b.Run(name, func(b *testing.B) {
			value := tok.Value(nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := stores.ParseToken(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValue(b *testing.B) {
	tok := stores.Token{ID: stores.NewID(), Payload: stores.EncodePayload(make([]byte, 300))}
	b.ReportAllocs()
	for b.Loop() {
		tok.Value(nil)
	}
}

func BenchmarkPayload(b *testing.B) {
	data := make([]byte, 300)
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			stores.EncodePayload(data)
		}
	})
	b.Run("Decode", func(b *testing.B) {
		tok := stores.Token{Payload: stores.EncodePayload(data)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tok.DecodePayload(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
