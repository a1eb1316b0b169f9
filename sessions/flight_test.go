package sessions_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
)

// Many loads of one session at once are three calls: two go at once, and who comes
// meanwhile shares the third.
func TestLoadsAtOnceShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		st.before = slow
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				s := load(t, m, tok)
				require.NoError(t, count.Set(s, i)) // its own
				n, err := count.Get(s)
				require.NoError(t, err)
				require.Equal(t, i, n)
			})
		}
		wg.Wait()
		require.EqualValues(t, 3, st.loads.Load())
		require.Equal(t, 2*time.Millisecond, time.Since(start))
		load(t, m, tok)
		require.EqualValues(t, 4, st.loads.Load(), "nothing is kept")
	})
}

// Nobody is given what was read before it asked, and nobody fails because another gave
// up.
func TestSharedLoadsAreNotOld(t *testing.T) {
	shared := 0
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			st, m, other := processes(t, sessions.Config{})
			tok := begin(t, m)
			var mu sync.Mutex
			roll := func(n int) time.Duration { mu.Lock(); defer mu.Unlock(); return time.Duration(rng.IntN(n)) }
			st.before = func(context.Context, call) error { time.Sleep(roll(1000)); return nil }
			st.after = st.before
			var written sync.Map // count: when it was acknowledged
			var wg sync.WaitGroup
			wg.Go(func() {
				for n := 2; n < 10; n++ {
					s := load(t, other, tok)
					require.NoError(t, count.Set(s, n))
					commit(t, other, s)
					written.Store(n, time.Now())
				}
			})
			const loads = 50
			for range loads {
				wait, gives := roll(8000), roll(4) == 0
				wg.Go(func() {
					time.Sleep(wait)
					ctx, asked := context.Background(), time.Now()
					if gives {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, roll(1000))
						defer cancel()
					}
					s, err := m.Load(ctx, received(t, tok))
					if gives && err != nil {
						require.ErrorIs(t, err, context.DeadlineExceeded)
						return
					}
					require.NoError(t, err)
					got, err := count.Get(s)
					require.NoError(t, err)
					if at, ok := written.Load(got + 1); ok {
						require.False(t, at.(time.Time).Before(asked), "older than when it was asked for")
					}
				})
			}
			wg.Wait()
			if st.loads.Load() < loads/2+8 {
				shared++
			}
		})
	}
	require.Positive(t, shared)
}
