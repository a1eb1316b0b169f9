package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// loaded returns n requests of one session, none of which has committed.
func loaded(t *testing.T, m *sessions.Manager, tok token.Token, n int) []*sessions.Session {
	all := make([]*sessions.Session, n)
	for i := range all {
		all[i] = load(t, m, tok)
	}
	return all
}

// slow lets each call take a millisecond.
func slow(context.Context, call) error { time.Sleep(time.Millisecond); return nil }

// commitAll commits all of them, in order, while the first is under way.
func commitAll(m *sessions.Manager, all []*sessions.Session) []error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			_, errs[i] = m.Commit(context.Background(), s, sessions.BeforeResponse)
		})
		synctest.Wait()
	}
	wg.Wait()
	return errs
}

// A burst of n changes of one session costs two saves: the first one's, and one for all
// who have come meanwhile. Whatever becomes of that one's reply, it counts once.
func TestBurst(t *testing.T) {
	lost := func(nth int32) func(context.Context, call) error {
		return on("save", nth, func() error { return errOutage })
	}
	for what, c := range map[string]struct {
		before, after func(context.Context, call) error
		saves, loads  int
	}{
		"nothing fails":     {saves: 2},
		"the reply is lost": {after: lost(2), saves: 2, loads: 1},
		"the save is lost":  {before: lost(2), saves: 3, loads: 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ev events
				st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
				tok := begin(t, m)
				burst := loaded(t, m, tok, 32)
				for _, s := range burst {
					increment(t, s)
				}
				loads, saves := st.loads.Load(), st.writes()
				st.before = func(ctx context.Context, op call) error {
					if slow(ctx, op); c.before != nil {
						return c.before(ctx, op)
					}
					return nil
				}
				st.after = c.after
				for _, err := range commitAll(m, burst) {
					require.NoError(t, err)
				}
				require.Equal(t, c.saves, st.writes()-saves)
				require.EqualValues(t, c.loads, st.loads.Load()-loads)
				require.Len(t, ev.of("saved"), 32)
				require.Empty(t, ev.of("conflict"))
				st.before, st.after = nil, nil
				requireCount(t, m, tok, 33)
			})
		})
	}
}

// Among those who are written together one fails, panics, ends its goroutine or does not
// come to an end: it is as if it had been alone, and so it is for the others.
func TestOneOfABurstFails(t *testing.T) {
	for what, c := range map[string]struct {
		update func(n int) int
		want   string // of its error
		done   bool   // its change counts
	}{
		"a panic":         {func(int) int { panic("oops") }, "panic: oops", false},
		"a slow function": {func(n int) int { time.Sleep(time.Second); return n + 1 }, "", true},
		"nothing to do":   {func(n int) int { return n }, "", false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				tok := begin(t, m)
				burst := loaded(t, m, tok, 8)
				for i, s := range burst {
					if i != 4 {
						increment(t, s)
						continue
					}
					first := true
					_, err := count.Update(s, func(n int) int {
						if first {
							first = false
							return n + 1
						}
						return c.update(n)
					})
					require.NoError(t, err)
				}
				st.before = slow
				for i, err := range commitAll(m, burst) {
					if i == 4 && c.want != "" {
						require.ErrorContains(t, err, c.want)
						continue
					}
					require.NoError(t, err)
				}
				want := 8
				if c.done {
					want++
				}
				st.before = nil
				requireCount(t, m, tok, want)
				increment(t, burst[0]) // the queue goes on
				commit(t, m, burst[0])
			})
		})
	}
}

// A function that waits for what another request holds while it commits does not keep
// that one from it.
func TestABurstIsNoDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		held := make(chan bool, 1) // a lock, which time can pass by
		st.before = slow
		var wg sync.WaitGroup
		for i, s := range loaded(t, m, tok, 5) {
			again := false
			_, err := count.Update(s, func(n int) int {
				if again && i == 3 {
					held <- true
					defer func() { <-held }()
				}
				again = true
				return n + 1
			})
			require.NoError(t, err)
			wg.Go(func() {
				if i == 1 { // who writes the others along
					held <- true
					defer func() { <-held }()
				}
				commit(t, m, s)
			})
			if i < 4 {
				time.Sleep(time.Microsecond) // until it waits
			}
		}
		wg.Wait()
		st.before = nil
		requireCount(t, m, tok, 6)
	})
}

// What is too large together is written one by one.
func TestABurstThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		burst := loaded(t, m, tok, 6)
		for i, s := range burst {
			require.NoError(t, sessions.Key[string](fmt.Sprint("part", i)).Set(s, strings.Repeat("x", 1000)))
		}
		st.before = func(ctx context.Context, c call) error {
			if slow(ctx, c); len(c.rec.Data) > 4500 {
				return stores.ErrTooLarge
			}
			return nil
		}
		for i, err := range commitAll(m, burst) {
			if i < 4 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, stores.ErrTooLarge)
			}
		}
		st.before = nil
		names := load(t, m, tok).Names()
		require.Subset(t, names, []string{"part0", "part1", "part2", "part3"})
		require.Len(t, names, 6)
	})
}

// The session ends while a burst waits: nobody's change is written, and each is told.
func TestABurstOfAnEndedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		burst := loaded(t, m, tok, 8)
		for _, s := range burst {
			increment(t, s)
		}
		st.before = func(ctx context.Context, c call) error {
			if slow(ctx, c); c.op == "save" && st.saves.Load() == 3 {
				st.end(t, tok.ID.Key())
			}
			return nil
		}
		for i, err := range commitAll(m, burst) {
			if i == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, sessions.ErrEnded)
			}
		}
	})
}

// Bursts in two processes, with lost requests and replies, functions that panic or take
// long, and commits without much time: what was answered counts once, what may have been
// written at most once, and everybody is answered.
func TestBurstsUnderFaults(t *testing.T) {
	together := 0
	for seed := range uint64(many(300, 20_000)) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 13))
			st, m, other := processes(t, sessions.Config{CommitTimeout: time.Duration(20+rng.IntN(2000)) * time.Millisecond})
			tok := begin(t, m)
			var mu sync.Mutex
			roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
			faults := func(ctx context.Context, c call) error {
				time.Sleep(time.Duration(1+roll(5)) * time.Millisecond)
				if roll(8) == 0 {
					return errOutage
				}
				return nil
			}
			const n = 24
			var burst []*sessions.Session
			key := func(i int) sessions.Key[int] { return sessions.Key[int](fmt.Sprint("key", i)) }
			for i := range n {
				s := load(t, []*sessions.Manager{m, other}[i%2], tok)
				bad, first := roll(10), true
				_, err := key(i).Update(s, func(n int) int {
					if !first && bad == 0 {
						panic("oops")
					}
					if !first && bad == 1 {
						time.Sleep(70 * time.Millisecond)
					}
					first = false
					return n + 1
				})
				require.NoError(t, err)
				burst = append(burst, s)
			}
			st.before, st.after = faults, faults
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i, s := range burst {
				start := time.Duration(roll(4)) * time.Millisecond
				wg.Go(func() {
					time.Sleep(start)
					defer func() {
						if p := recover(); p != nil {
							errs[i] = fmt.Errorf("panic: %v", p)
						}
					}()
					_, errs[i] = []*sessions.Manager{m, other}[i%2].Commit(context.Background(), s, sessions.BeforeResponse)
				})
			}
			wg.Wait()
			st.before, st.after = nil, nil
			if saves := int(st.saves.Load()); saves < n {
				together++
			}
			s := load(t, m, tok)
			for i, err := range errs {
				got, gotErr := key(i).GetOr(s, 0)
				require.NoError(t, gotErr)
				switch {
				case err == nil:
					require.Equal(t, 1, got, "seed %d: request %d", seed, i)
				case errors.Is(err, stores.ErrUnavailable):
					require.LessOrEqual(t, got, 1, "seed %d: request %d: %v", seed, i, err)
				default:
					require.Zero(t, got, "seed %d: request %d: %v", seed, i, err)
				}
			}
			increment(t, s) // the queue goes on
			commit(t, m, s)
		})
	}
	require.Greater(t, together, many(300, 20_000)/4, "hardly any were written together")
}
