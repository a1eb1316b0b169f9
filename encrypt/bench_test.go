package encrypt_test

import (
	"testing"

	"github.com/bulla-go/bulla/encrypt"
)

// benchmarkSize is a small session's record.
const benchmarkSize = 200

// benchmarkBinding is as long as a session's: domain, audience, cookie name and
// ID, each with its length.
var benchmarkBinding = make([]byte, 64)

func BenchmarkEncrypt(b *testing.B) {
	plaintext := make([]byte, benchmarkSize)
	eachAlgorithm(b, func(b *testing.B, ring *encrypt.Keyring) {
		for b.Loop() {
			if _, err := ring.Encrypt(nil, plaintext, benchmarkBinding); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	eachAlgorithm(b, func(b *testing.B, ring *encrypt.Keyring) {
		sealed, err := ring.Encrypt(nil, make([]byte, benchmarkSize), benchmarkBinding)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := ring.Decrypt(nil, sealed, benchmarkBinding); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A request that opens a record and seals it again.
func BenchmarkDecryptEncrypt(b *testing.B) {
	eachAlgorithm(b, func(b *testing.B, ring *encrypt.Keyring) {
		sealed, err := ring.Encrypt(nil, make([]byte, benchmarkSize), benchmarkBinding)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			plaintext, err := ring.Decrypt(nil, sealed, benchmarkBinding)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := ring.Encrypt(nil, plaintext, benchmarkBinding); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The same through Bind.
func BenchmarkBindOpenSeal(b *testing.B) {
	eachAlgorithm(b, func(b *testing.B, ring *encrypt.Keyring) {
		sealed, err := ring.Encrypt(nil, make([]byte, benchmarkSize), benchmarkBinding)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			bound, err := ring.Bind(benchmarkBinding)
			if err != nil {
				b.Fatal(err)
			}
			plaintext, err := bound.Open(sealed)
			if err != nil {
				b.Fatal(err)
			}
			if sealed, err = bound.Seal(plaintext); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func eachAlgorithm(b *testing.B, f func(*testing.B, *encrypt.Keyring)) {
	for name, newRing := range algorithms {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f(b, mustRing(b, newRing, encrypt.GenerateKey()))
		})
	}
}
