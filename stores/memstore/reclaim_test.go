package memstore

import (
	"crypto/rand"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// filled returns a shard with n records that end at 1.
func filled(t testing.TB, n int, value string) *shard {
	sh := &shard{limit: &limit{max: math.MaxInt64}}
	for range n {
		var hash [24]byte
		rand.Read(hash[:])
		require.NoError(t, sh.write(entry{key: stores.NewKey(hash), value: value, expires: 1}, nil, false, 0))
	}
	return sh
}

// BenchmarkReclaimStep is one step of a full store's search for room at its
// dearest: every entry that it looks at has expired. For as long a reader of the
// shard may wait.
func BenchmarkReclaimStep(b *testing.B) {
	const entries = 1 << 14 // of a shard with a million sessions in the store
	value := string(make([]byte, revisionSize+200))
	var sh *shard
	fill := func() { sh = filled(b, entries, value) }
	b.ReportAllocs()
	for left := 0; b.Loop(); left -= reclaimSteps {
		if left < reclaimSteps {
			b.StopTimer()
			fill()
			left = entries
			b.StartTimer()
		}
		if !sh.removeExpired(2) {
			b.Fatal("nothing was removed")
		}
	}
}

// However much has expired, one step does not hold the lock for all of it.
func TestReclaimGoesInSteps(t *testing.T) {
	sh := filled(t, 3*reclaimSteps, string(make([]byte, revisionSize)))
	for left := 2; left >= 0; left-- {
		require.True(t, sh.removeExpired(2))
		require.Len(t, sh.index.m, left*reclaimSteps)
		require.Equal(t, left*reclaimSteps, sh.entries.len)
	}
	require.False(t, sh.removeExpired(2))
}

// What is written behind the search between two steps is not forgotten.
func TestReclaimNoticesWrites(t *testing.T) {
	sh := filled(t, 3*reclaimSteps, string(make([]byte, revisionSize)))
	for i := range sh.entries.len {
		sh.entries.at(i).expires = 1000
	}
	first := *sh.entries.at(0)
	first.expires = 500
	for _, writes := range []bool{true, false} {
		look := search{earliest: math.MaxInt64}
		for i := range 3 {
			removed, end := sh.step(&look, 2)
			require.False(t, removed)
			require.Equal(t, i == 2, end)
			if writes && i == 1 {
				require.NoError(t, sh.write(first, nil, false, 2))
			}
		}
		require.LessOrEqual(t, sh.earliest, first.expires)
	}
	require.Equal(t, first.expires, sh.earliest, "a search that nobody disturbs must find the earliest")
}
