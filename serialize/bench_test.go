package serialize_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

// withKeys is a session as a client holds it, with n values of 20 bytes.
func withKeys(n int) serialize.Envelope {
	env := serialize.Envelope{Metadata: full().Metadata}
	env.Owner, env.Label, env.Revision, env.Extra = "", "", "", nil
	env.Values, _ = serialize.NewValues(maps.All(manyValues(n)))
	return env
}

func manyValues(n int) map[string][]byte {
	m := make(map[string][]byte, n)
	for i := range n {
		m[fmt.Sprintf("name-%03d", i)] = []byte(`"a value of 20 char"`)
	}
	return m
}

func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			env := withKeys(n)
			b.ReportAllocs()
			for b.Loop() {
				serialize.Join(nil, env)
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data, err := serialize.Join(nil, withKeys(n))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				serialize.Split(data)
			}
		})
	}
}

func BenchmarkValuesGet(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			values := withKeys(n).Values
			last := fmt.Sprintf("name-%03d", n-1)
			b.ReportAllocs()
			for b.Loop() {
				values.Get(last)
			}
		})
	}
}

func BenchmarkNewValues(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := manyValues(n)
			b.ReportAllocs()
			for b.Loop() {
				serialize.NewValues(maps.All(m))
			}
		})
	}
}

func BenchmarkValuesWith(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			values, data := withKeys(n).Values, []byte(`"a value of 21 chars"`)
			b.ReportAllocs()
			for b.Loop() {
				values.With("name-001", data)
			}
		})
	}
}

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

func TestAllocations(t *testing.T) {
	for _, n := range []int{3, 100} {
		env := withKeys(n)
		data, err := serialize.Join(nil, env)
		require.NoError(t, err)
		// One, and one more in slices.Grow under the race detector.
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { serialize.Join(nil, env) }), 2.0, "Join")
		require.Zero(t, testing.AllocsPerRun(100, func() { serialize.Split(data) }), "Split")
	}
}

// What grows with the number of values is only the list to sort, and that by
// doubling.
func TestNewValuesAllocates(t *testing.T) {
	for n, most := range map[int]float64{3: 10, 1000: 20} {
		m := manyValues(n)
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { serialize.NewValues(maps.All(m)) }), most, n)
	}
}
