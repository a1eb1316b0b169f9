package envelope_test

import (
	"slices"
	"testing"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/stretchr/testify/require"
)

const (
	markSize = 18
	maxMarks = 64
)

func mark(writer byte, count uint32) envelope.Mark {
	return envelope.Mark{Writer: [8]byte{writer}, Count: count}
}

func TestMarksHas(t *testing.T) {
	var none envelope.Marks
	require.False(t, none.Has(mark(1, 1)))
	require.False(t, none.Has(mark(0, 0)))

	ms := none.With(mark(1, 1), created).With(mark(2, 7), created)
	require.True(t, ms.Has(mark(1, 1)))
	require.True(t, ms.Has(mark(2, 7)))
	for _, other := range []envelope.Mark{
		mark(1, 0), mark(1, 2), mark(1, 7), mark(2, 1), mark(3, 1), mark(0, 0),
		mark(1, 1+1<<8), mark(1, 1+1<<31),
		{Writer: [8]byte{1, 0, 0, 0, 0, 0, 0, 1}, Count: 1},
	} {
		require.False(t, ms.Has(other), "%v", other)
	}
	require.Empty(t, none)
}

// A writer's commits of one session go one after the other, so its last mark is
// enough: fourteen writers keep fourteen marks, however often each writes.
func TestMarksKeepOneForEachWriter(t *testing.T) {
	var ms envelope.Marks
	for count := range uint32(100) {
		for writer := range byte(14) {
			was, before := ms, slices.Clone(ms)
			ms = ms.With(mark(writer, count), created)
			require.Equal(t, writer, ms[0], "the newest comes first")
			require.True(t, ms.Has(mark(writer, count)))
			if count > 0 {
				require.False(t, ms.Has(mark(writer, count-1)))
			}
			require.Equal(t, before, was, "Marks are immutable")
		}
	}
	require.Len(t, ms, 14*markSize)
}

func TestMarksGrowOld(t *testing.T) {
	ms := envelope.Marks(nil).With(mark(1, 1), created)
	young := ms.With(mark(2, 1), created.Add(envelope.MarkLife-time.Millisecond))
	require.True(t, young.Has(mark(1, 1)))
	old := ms.With(mark(2, 1), created.Add(envelope.MarkLife))
	require.False(t, old.Has(mark(1, 1)))
	require.Len(t, old, markSize)

	// A machine whose clock is behind drops nothing that may still be looked for.
	behind := ms.With(mark(2, 1), created.Add(-time.Hour))
	require.True(t, behind.Has(mark(1, 1)))
	require.True(t, behind.With(mark(3, 1), created).Has(mark(1, 1)))
}

// The record has room for 64; the oldest goes.
func TestMarksAreLimited(t *testing.T) {
	var ms envelope.Marks
	for writer := range byte(maxMarks) {
		ms = ms.With(mark(writer, 1), created)
	}
	require.Len(t, ms, maxMarks*markSize)
	require.True(t, ms.Has(mark(0, 1)))
	for writer := range byte(10) {
		ms = ms.With(mark(100+writer, 1), created)
		require.Len(t, ms, maxMarks*markSize)
		require.True(t, ms.Has(mark(100+writer, 1)))
		require.False(t, ms.Has(mark(writer, 1)))
		require.True(t, ms.Has(mark(writer+1, 1)))
	}
	again := ms.With(mark(63, 2), created)
	require.Len(t, again, maxMarks*markSize)
	require.True(t, again.Has(mark(10, 1)), "a writer that is in the list needs no other's place")

	env := full()
	env.Marks = ms
	data, err := envelope.Join(nil, env)
	require.NoError(t, err)
	got, err := envelope.Split(data)
	require.NoError(t, err)
	require.Equal(t, ms, got.Marks)
}

// Where a list is full, a mark that is not there may have been dropped: only a list
// that still has one of the earlier marks has lost none that came after it.
func TestMarksFollow(t *testing.T) {
	var before envelope.Marks
	for writer := range byte(3) {
		before = before.With(mark(writer, 1), created)
	}
	var none envelope.Marks
	require.True(t, none.Follows(before), "a list with room has lost nothing but by age")
	require.True(t, before.Follows(none))
	require.True(t, before.Follows(before))

	ms := before
	for writer := range byte(maxMarks - 1) {
		ms = ms.With(mark(100+writer, 1), created)
	}
	require.Len(t, ms, maxMarks*markSize)
	require.True(t, ms.Follows(before), "it still has the newest of before")
	require.False(t, ms.Follows(none), "full, and nothing to compare with")
	ms = ms.With(mark(200, 1), created)
	require.False(t, ms.Follows(before))

	// A mark of the same writer with another count is another commit's.
	require.False(t, ms.With(mark(2, 2), created).Follows(before))
}
