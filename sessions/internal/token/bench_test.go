package token_test

import (
	"testing"

	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		token.NewID()
	}
}

func BenchmarkKey(b *testing.B) {
	id := token.NewID()
	b.ReportAllocs()
	for b.Loop() {
		id.Key()
	}
}

func BenchmarkParse(b *testing.B) {
	for name, tok := range map[string]token.Token{
		"ID":      {ID: token.NewID()},
		"payload": {ID: token.NewID(), Payload: payload.Encode(make([]byte, 300))},
	} {
		b.Run(name, func(b *testing.B) {
			value := tok.Value(nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := token.Parse(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValue(b *testing.B) {
	tok := token.Token{ID: token.NewID(), Payload: payload.Encode(make([]byte, 300))}
	b.ReportAllocs()
	for b.Loop() {
		tok.Value(nil)
	}
}
