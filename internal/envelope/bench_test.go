package envelope_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/stretchr/testify/require"
)

// withKeys is a session as a client holds it, with n values of 20 bytes.
func withKeys(n int) envelope.Envelope {
	env := envelope.Envelope{Metadata: full().Metadata}
	env.Owner, env.Label, env.Revision, env.Marks, env.Extra, env.Epochs = "", "", "", nil, nil, nil
	env.Values, _ = envelope.NewValues(maps.All(manyValues(n)))
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
				envelope.Join(nil, env)
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data, err := envelope.Join(nil, withKeys(n))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				envelope.Split(data)
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
				envelope.NewValues(maps.All(m))
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

func TestAllocations(t *testing.T) {
	for _, n := range []int{3, 100} {
		env := withKeys(n)
		data, err := envelope.Join(nil, env)
		require.NoError(t, err)
		// One, and one more in slices.Grow under the race detector.
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { envelope.Join(nil, env) }), 2.0, "Join")
		require.Zero(t, testing.AllocsPerRun(100, func() { envelope.Split(data) }), "Split")
	}
}

// What grows with the number of values is only the list to sort, and that by
// doubling.
func TestNewValuesAllocates(t *testing.T) {
	for n, most := range map[int]float64{3: 10, 1000: 20} {
		m := manyValues(n)
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { envelope.NewValues(maps.All(m)) }), most, n)
	}
}
