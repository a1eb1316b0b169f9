package serialize_test

import (
	"fmt"
	"testing"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

// withKeys is a session as a client holds it, with n values of 20 bytes.
func withKeys(n int) serialize.Envelope {
	env := serialize.Envelope{Metadata: full().Metadata}
	env.Owner, env.Label, env.Revision, env.Extra = "", "", "", nil
	for i := range n {
		env.Values = append(env.Values, serialize.Value{
			Name: fmt.Sprintf("name-%03d", i),
			Data: []byte(`"a value of 20 char"`),
		})
	}
	return env
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

func TestAllocations(t *testing.T) {
	for _, n := range []int{3, 100} {
		env := withKeys(n)
		data, err := serialize.Join(nil, env)
		require.NoError(t, err)
		// One, and one more in slices.Grow under the race detector.
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { serialize.Join(nil, env) }), 2.0, "Join")
		require.EqualValues(t, 2, testing.AllocsPerRun(100, func() { serialize.Split(data) }), "Split")
	}
}
