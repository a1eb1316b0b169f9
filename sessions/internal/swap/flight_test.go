package swap

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// Who goes away in the moment in which the call begins makes it all the same: it is
// counted, and those who wait for the next one are told when it ends.
func TestFlightBeginsAsItsLeaderGoes(t *testing.T) {
	key := queueKey(1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 30 { // which of the two is noticed is chance
		var f flights
		l := f.lane(key)
		begun := &flight{begin: make(chan struct{}), done: make(chan struct{})}
		close(begun.begin)
		next := &flight{begin: make(chan struct{}), done: make(chan struct{})}
		l.add(key, flying{calls: 2, next: next})
		calls := 0
		_, _, err := lead(gone, l, key, begun, func() (*record.State, *record.Stub, error) {
			calls++
			return nil, nil, stores.ErrNotFound
		})
		require.ErrorIs(t, err, stores.ErrNotFound)
		require.Equal(t, 1, calls)
		<-begun.done
		select {
		case <-next.begin:
		default:
			t.Fatal("the next call never begins")
		}
		require.Equal(t, flying{calls: 2}, *l.find(key))
	}
}

func TestFlightsKeepNothing(t *testing.T) {
	var f flights
	for b := range byte(3) {
		_, _, err := f.load(t.Context(), queueKey(b), func() (*record.State, *record.Stub, error) {
			_, _, err := f.load(t.Context(), queueKey(b), func() (*record.State, *record.Stub, error) {
				return nil, nil, stores.ErrNotFound
			})
			return nil, nil, err
		})
		require.ErrorIs(t, err, stores.ErrNotFound)
	}
	for i := range f.lanes {
		require.Empty(t, f.lanes[i].entries)
	}
}
