package cookiestore_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// eachCodec runs f with each codec and a record of 200 bytes.
func eachCodec(b *testing.B, f func(b *testing.B, codec stores.Codec, data, binding []byte)) {
	for name, store := range map[string]stores.Store{
		"Sealed": cookiestore.Sealed(),
		"Signed": newSigned(b, encrypt.GenerateKey()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f(b, store.Place().Cookie, bytes.Repeat([]byte("x"), 200), binding("session"))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	eachCodec(b, func(b *testing.B, codec stores.Codec, data, binding []byte) {
		text, err := codec.Encode(data, binding)
		require.NoError(b, err)
		for b.Loop() {
			if _, _, err := codec.Decode(text, binding); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	eachCodec(b, func(b *testing.B, codec stores.Codec, data, binding []byte) {
		for b.Loop() {
			if _, err := codec.Encode(data, binding); err != nil {
				b.Fatal(err)
			}
		}
	})
}
