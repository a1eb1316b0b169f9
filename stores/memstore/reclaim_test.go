package memstore

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// BenchmarkReclaimStep is one step of a full store's search for room at its
// dearest: every entry that it looks at has expired. For as long a reader of the
// shard may wait.
func BenchmarkReclaimStep(b *testing.B) {
	const entries = 1 << 14 // of a shard with a million sessions in the store
	value := string(make([]byte, revisionSize+200))
	var sh *shard
	fill := func() {
		sh = new(shard)
		sh.init(&limit{max: math.MaxInt64})
		for range entries {
			sh.limit.take(false)
			sh.add(entry{key: stores.NewID().Key(), value: value, expires: 1})
		}
	}
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
	sh := new(shard)
	sh.init(&limit{max: math.MaxInt64})
	for range 3 * reclaimSteps {
		sh.limit.take(false)
		sh.add(entry{key: stores.NewID().Key(), value: string(make([]byte, revisionSize)), expires: 1})
	}
	for left := 2; left >= 0; left-- {
		require.True(t, sh.removeExpired(2))
		require.Len(t, sh.index, left*reclaimSteps)
	}
	require.False(t, sh.removeExpired(2))
}
