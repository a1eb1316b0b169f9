package swap

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

func queueKey(b byte) stores.Key { return stores.NewKey([24]byte{b}) }

func enter(t *testing.T, q *queue, key stores.Key) (turn, *record.State) {
	t.Helper()
	turn, handed, err := q.enter(t.Context(), key, time.Minute)
	require.NoError(t, err)
	return turn, handed
}

// empty checks that the queue keeps nothing of keys that nobody waits for.
func (q *queue) empty() bool {
	for i := range q.lanes {
		if len(q.lanes[i].entries) > 0 {
			return false
		}
	}
	return true
}

func TestQueueGoesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		first, handed := enter(t, &q, queueKey(1))
		require.Nil(t, handed)

		var order []int
		var wg sync.WaitGroup
		written := make([]*record.State, 10)
		for i := range written {
			written[i] = new(record.State)
			wg.Go(func() {
				turn, handed := enter(t, &q, queueKey(1))
				if i == 0 {
					require.Nil(t, handed, "the first has written nothing")
				} else {
					require.Same(t, written[i-1], handed)
				}
				order = append(order, i) // who has the turn is alone
				time.Sleep(time.Second)
				turn.leave(written[i])
			})
			synctest.Wait()
		}
		// Another session does not wait.
		other, _ := enter(t, &q, queueKey(2))
		other.leave(nil)
		require.Empty(t, order)
		first.leave(nil)
		wg.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order)
		require.True(t, q.empty())

		// What was written is handed to who waits, and to nobody who comes later.
		turn, handed := enter(t, &q, queueKey(1))
		require.Nil(t, handed)
		turn.leave(written[0])
		require.True(t, q.empty())
	})
}

// Who gives up waiting is passed over, wherever it stands.
func TestQueuePassesOverWhoHasGone(t *testing.T) {
	for gone := range 8 { // bits: which of three
		synctest.Test(t, func(t *testing.T) {
			var q queue
			first, _ := enter(t, &q, queueKey(1))
			state := new(record.State)
			served := 0
			var wg sync.WaitGroup
			for i := range 3 {
				limit := time.Hour
				if gone&(1<<i) != 0 {
					limit = time.Minute
				}
				wg.Go(func() {
					start := time.Now()
					turn, handed, err := q.enter(t.Context(), queueKey(1), limit)
					if limit == time.Minute {
						require.ErrorIs(t, err, context.DeadlineExceeded)
						require.Equal(t, time.Minute, time.Since(start))
						return
					}
					require.NoError(t, err)
					require.Same(t, state, handed)
					served++
					turn.leave(state)
				})
				synctest.Wait()
			}
			time.Sleep(2 * time.Minute)
			first.leave(state)
			wg.Wait()
			want := 0
			for i := range 3 {
				if gone&(1<<i) == 0 {
					want++
				}
			}
			require.Equal(t, want, served)
			require.True(t, q.empty())
			turn, handed := enter(t, &q, queueKey(1))
			require.Nil(t, handed)
			turn.leave(nil)
		})
	}
}

// Who comes when all before it have gone is served too.
func TestQueueAfterAllHaveGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		first, _ := enter(t, &q, queueKey(1))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, _, err := q.enter(ctx, queueKey(1), time.Hour)
				require.ErrorIs(t, err, context.Canceled)
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		served := false
		wg.Go(func() {
			turn, _ := enter(t, &q, queueKey(1))
			served = true
			turn.leave(nil)
		})
		synctest.Wait()
		require.False(t, served)
		first.leave(nil)
		wg.Wait()
		require.True(t, served)
		require.True(t, q.empty())
	})
}

// Whatever comes and goes: one at a time for each key, nobody is forgotten, and
// nothing stays behind.
func TestQueueUnderLoad(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			var q queue
			var inside [4]int
			var last [4]*record.State
			served, gaveUp := 0, 0
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 100 {
				k := rng.IntN(len(inside))
				start, limit, hold := time.Duration(rng.IntN(1000)), time.Duration(1+rng.IntN(3000)), time.Duration(rng.IntN(100))
				wg.Go(func() {
					time.Sleep(start)
					turn, handed, err := q.enter(t.Context(), queueKey(byte(k)), limit)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						gaveUp++
						return
					}
					served++
					inside[k]++
					require.Equal(t, 1, inside[k])
					if handed != nil {
						require.Same(t, last[k], handed)
					}
					mu.Unlock()
					time.Sleep(hold)
					mu.Lock()
					inside[k]--
					last[k] = new(record.State)
					turn.leave(last[k])
				})
			}
			wg.Wait()
			require.Equal(t, 100, served+gaveUp)
			require.Positive(t, served)
			require.True(t, q.empty())
		})
	}
}

// Who comes while one that has waited has the turn is not forgotten.
func TestQueueBehindAWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		first, _ := enter(t, &q, queueKey(1))
		state := new(record.State)
		var wg sync.WaitGroup
		wg.Go(func() {
			turn, _ := enter(t, &q, queueKey(1))
			time.Sleep(time.Second)
			turn.leave(state)
		})
		synctest.Wait()
		first.leave(nil)
		synctest.Wait()
		turn, handed := enter(t, &q, queueKey(1))
		require.Same(t, state, handed)
		turn.leave(nil)
		wg.Wait()
		require.True(t, q.empty())
	})
}

// Who gives up in the moment in which its turn comes has it all the same, or loses it
// to the next one.
func TestQueueAtTheSameMoment(t *testing.T) {
	got := 0
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			var q queue
			first, _ := enter(t, &q, queueKey(1))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				if turn, _, err := q.enter(ctx, queueKey(1), time.Hour); err == nil {
					got++
					turn.leave(nil)
				}
			})
			synctest.Wait()
			cancel()
			first.leave(nil)
			wg.Wait()
			turn, _ := enter(t, &q, queueKey(1))
			turn.leave(nil)
			require.True(t, q.empty())
		})
	}
	t.Logf("%d of 300 had their turn", got)
}
