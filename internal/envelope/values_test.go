package envelope_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/stretchr/testify/require"
)

func with(t testing.TB, v envelope.Values, name, data string) envelope.Values {
	v, err := v.With(name, []byte(data))
	require.NoError(t, err)
	return v
}

func asMap(v envelope.Values) map[string]string {
	m := make(map[string]string)
	for name, data := range v.All() {
		m[name] = string(data)
	}
	return m
}

// Values behave as a map does, whose names come in order, and older Values stay
// as they were.
func TestValuesAreAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "ab", "\x00", "\xff", strings.Repeat("n", 127), strings.Repeat("n", 128), strings.Repeat("n", 255)}
	var (
		v    envelope.Values
		want = make(map[string]string)
	)
	for range 2000 {
		before, was := v, maps.Clone(want)
		name := names[random.IntN(len(names))]
		if random.IntN(3) == 0 {
			v = v.Without(name)
			delete(want, name)
		} else {
			data := strings.Repeat("d", random.IntN(3)*random.IntN(150))
			v = with(t, v, name, data)
			want[name] = data
		}
		require.Equal(t, want, asMap(v))
		require.Equal(t, was, asMap(before))
		require.Equal(t, len(want), v.Len())
		require.Equal(t, maps.Equal(was, want), v.Equal(before))
		var order []string
		for name := range v.All() {
			order = append(order, name)
		}
		require.Equal(t, slices.Sorted(maps.Keys(want)), order)
		for _, name := range names {
			data, ok := v.Get(name)
			text, has := want[name]
			require.Equal(t, has, ok)
			require.Equal(t, text, string(data))
			require.Equal(t, has, data != nil)
			require.Equal(t, len(data), cap(data), "appending to one value would write over the next")
		}

		// A record of them is read back as the same.
		env := envelope.Envelope{Metadata: full().Metadata, Values: v}
		record, err := envelope.Join(nil, env)
		require.NoError(t, err)
		got, err := envelope.Split(record)
		require.NoError(t, err)
		require.Equal(t, env, got)
	}
	require.Equal(t, envelope.Values{}, with(t, envelope.Values{}, "a", "").Without("a"))
}

// NewValues does what With does, one after the other, also where a name comes
// twice.
func TestNewValuesIsWithForEach(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "ab", "\x00", "\xff", strings.Repeat("n", 127), strings.Repeat("n", 128), strings.Repeat("n", 255)}
	for n := range 200 {
		var order []string
		var all [][]byte
		var want envelope.Values
		for range n % 20 {
			name, data := names[random.IntN(len(names))], strings.Repeat("d", random.IntN(3)*random.IntN(150))
			order, all = append(order, name), append(all, []byte(data))
			want = with(t, want, name, data)
		}
		got, err := envelope.NewValues(func(yield func(string, []byte) bool) {
			for i, name := range order {
				if !yield(name, all[i]) {
					return
				}
			}
		})
		require.NoError(t, err)
		require.Equal(t, want, got)
		for _, data := range all { // which was copied
			clear(data)
		}
		require.Equal(t, want, got)
	}
	none, err := envelope.NewValues(maps.All(map[string][]byte(nil)))
	require.NoError(t, err)
	require.Equal(t, envelope.Values{}, none)
}

func TestValuesAllStops(t *testing.T) {
	for name, data := range full().Values.All() {
		require.Equal(t, "cart", name)
		require.Equal(t, "[1,2]", string(data))
		break
	}
}

func TestValuesRefuseNames(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("n", 256)} {
		v, err := full().Values.With(name, nil)
		require.ErrorIs(t, err, envelope.ErrInvalid)
		require.ErrorContains(t, err, "1 to 255")
		require.Zero(t, v)
		require.Equal(t, full().Values, full().Values.Without(name))

		v, err = envelope.NewValues(maps.All(map[string][]byte{name: nil, "a": nil}))
		require.ErrorIs(t, err, envelope.ErrInvalid)
		require.ErrorContains(t, err, "1 to 255")
		require.Zero(t, v)
	}
}
