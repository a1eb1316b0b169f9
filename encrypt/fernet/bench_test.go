package fernet

import (
	"testing"

	"github.com/bulla-go/bulla/encrypt"
)

func BenchmarkDecrypt(b *testing.B) {
	tokens, err := New(encrypt.GenerateKey())
	if err != nil {
		b.Fatal(err)
	}
	token, err := tokens.Encrypt(make([]byte, 200))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.Decrypt(token, 0); err != nil {
			b.Fatal(err)
		}
	}
}
