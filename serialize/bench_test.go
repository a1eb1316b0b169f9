package serialize_test

import (
	"fmt"
	"testing"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

// What a session mostly holds, and a struct.
func BenchmarkSerializers(b *testing.B) {
	for name, s := range map[string]serialize.Serializer{"JSON": serialize.JSON, "Gob": serialize.Gob, "CBOR": serialize.CBOR} {
		for _, v := range []any{new("a text of some length"), new(42), &cart{[]string{"tea", "cake"}, 450}} {
			b.Run(fmt.Sprintf("%s/%T", name, v), func(b *testing.B) {
				data, err := s.Marshal(v)
				require.NoError(b, err)
				b.Run("Marshal", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						s.Marshal(v)
					}
				})
				b.Run("Unmarshal", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						s.Unmarshal(data, v)
					}
				})
			})
		}
	}
}
