package revoked

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table does what a map does, also with keys that all want the same place.
func TestMarksAreAMap(t *testing.T) {
	for name, newKey := range map[string]func() [24]byte{
		"hashes": func() [24]byte { return randomKey().Hash() },
		"one place": func() [24]byte {
			var hash [24]byte
			hash[23], hash[22] = byte(rand.N(256)), byte(rand.N(4))
			for i := 8; i < 16; i++ {
				hash[i] = 0xff // the last one, so that each search goes round
			}
			return hash
		},
	} {
		t.Run(name, func(t *testing.T) {
			var m marks
			want := make(map[[24]byte]mark)
			var keys [][24]byte
			for i := range 5000 {
				k := newKey()
				if i%3 == 0 && len(keys) > 0 {
					k = keys[rand.N(len(keys))]
				}
				keys = append(keys, k)
				v := mark{until: rand.Uint32(), kind: ended}
				m.set(&k, v)
				want[k] = v
				if i%1000 == 999 {
					gone, half := 0, func(v mark) bool { return v.until&1 == 0 }
					m.keep(half, func(mark) { gone++ })
					n := len(want)
					for k, v := range want {
						if !half(v) {
							delete(want, k)
						}
					}
					require.Equal(t, n-len(want), gone)
				}
				require.Equal(t, len(want), m.n)
			}
			for _, k := range keys {
				v, ok := m.get(&k)
				w, there := want[k]
				require.Equal(t, there, ok)
				require.Equal(t, w, v)
			}
			other := randomKey().Hash()
			_, ok := m.get(&other)
			require.False(t, ok)
			m.keep(func(mark) bool { return false }, func(mark) {})
			require.Zero(t, m.n)
		})
	}
}
