package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// half is a place on a server that may have small records in the cookie.
type half struct {
	*unsteady
	cookie stores.Codec
}

func (h half) Place() stores.Place {
	return stores.Place{Name: "half", Server: h.unsteady, Cookie: h.cookie}
}

// TestStepSchedules runs random schedules of requests that commit several times: one
// failed, another change, a logout after it was told that the session is gone. With a
// store that has small records in the cookie, and with copies there, too.
func TestStepSchedules(t *testing.T) {
	eachSchedule(t, stepSchedule)
}

func stepSchedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	mem, err := memstore.New()
	require.NoError(t, err)
	u := &unsteady{Store: mem, rng: rand.New(rand.NewPCG(seed, 1)), trouble: []float64{1e-9, 0.05, 0.3, 0.6}[rng.IntN(4)], retries: rng.IntN(2) == 0}
	place := half{unsteady: u}
	config := sessions.Config{Encryptor: newRing(t)}
	switch rng.IntN(4) {
	case 0:
		config.CookieCache = time.Duration(1+rng.IntN(2000)) * time.Millisecond
	case 1:
		place.cookie, config.Room = clientStore{}, 600
	}
	if rng.IntN(3) == 0 {
		config.Rolling, config.TouchInterval = time.Hour, time.Nanosecond
	}
	managers := make([]*sessions.Manager, 1+rng.IntN(3))
	for i := range managers {
		managers[i] = newManager(t, place, config)
	}
	const load = sessions.Key[string]("load")

	var (
		mu     sync.Mutex
		issued = map[string]bool{} // every value that a response carried
		log    []string
		acked  = map[int]bool{} // changes whose commit was a success
		denied = map[int]bool{} // changes whose commit says that nothing was written
		open   bool             // some answer left it open
		ends   bool             // somebody tried to log out
		out    bool             // and was told of success
	)
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf(format, args...))
	}
	run := func(m *sessions.Manager, b *browser, f func(ctx context.Context, s *sessions.Session)) error {
		e := b.request()
		ctx := e.Begin(t.Context(), m, e)
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		f(ctx, s)
		_, failed := e.Respond()
		if failed == nil {
			e.Finish()
		}
		mu.Lock()
		if !e.reply.Remove && !e.reply.IsZero() {
			issued[e.reply.Value()] = true
		}
		mu.Unlock()
		e.arrive() // what was committed before a failure goes out with it
		return failed
	}

	steady := u.trouble
	u.calm(1e-9)
	b := &browser{}
	require.NoError(t, run(managers[0], b, func(_ context.Context, s *sessions.Session) {
		require.NoError(t, sessions.Key[string]("who").Set(s, "Ada"))
	}))
	small := &browser{value: b.value} // of a hybrid's session, before it grew
	require.NoError(t, run(managers[0], b, func(_ context.Context, s *sessions.Session) {
		require.NoError(t, load.Set(s, strings.Repeat("x", 1000)))
	}))
	u.calm(steady)

	n, spread := 2+rng.IntN(5), 1+rng.IntN(20)
	const steps = 3
	var wg sync.WaitGroup
	for i := range n {
		pause, m, from := time.Duration(rng.IntN(spread))*time.Millisecond, managers[rng.IntN(len(managers))], b
		if place.cookie != nil && rng.IntN(4) == 0 {
			from = small
		}
		var kinds [steps]int
		for j := range kinds {
			kinds[j] = rng.IntN(14)
		}
		gap := time.Duration(rng.IntN(spread)) * time.Millisecond
		wg.Go(func() {
			time.Sleep(pause)
			err := run(m, from, func(ctx context.Context, s *sessions.Session) {
				if s.IsNew() {
					return
				}
				if from == small { // or it would stay in the cookie
					if load.Set(s, strings.Repeat("x", 1000)) != nil || sessions.Commit(ctx) != nil {
						return
					}
				}
				var unsure error
				for j, kind := range kinds {
					time.Sleep(gap)
					id := i*steps + j
					var err error
					what := ""
					switch {
					case kind < 6:
						what = "change"
						_, err = slot(id).Update(s, func(n int) int { return n + 1 })
					case kind < 8:
						what = "regenerate"
						err = s.Regenerate()
					case kind < 9:
						what = "limit"
						err = s.Limit(10*time.Minute, 0)
					case kind < 10:
						what = "destroy"
						mu.Lock()
						ends = true
						mu.Unlock()
						s.Destroy()
						unsure = nil
					default:
						continue
					}
					if err == nil {
						err = sessions.Commit(ctx)
					}
					if what == "destroy" && errors.Is(err, stores.ErrUnavailable) {
						err = sessions.Commit(ctx) // is tried again
					}
					note("request %d, step %d (small %v): %s: %v", i, id, from == small, what, err)
					mu.Lock()
					switch {
					case what == "destroy" && err == nil:
						out = true
					case what == "change" && err == nil:
						acked[id] = true
						if unsure != nil {
							t.Errorf("step %d was a success after %v", id, unsure)
						}
					case errors.Is(err, stores.ErrUnavailable):
						open = true
						unsure = err
					case what == "change" && (!errors.Is(err, sessions.ErrEnded) || steady < 0.01):
						// Where a reply was lost and the session is gone by now, nobody
						// can tell.
						denied[id] = true
					}
					mu.Unlock()
					if what == "destroy" {
						return
					}
				}
			})
			if err != nil {
				note("request %d: %v", i, err)
				mu.Lock()
				open = open || errors.Is(err, stores.ErrUnavailable)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	u.late.Wait()
	u.calm(1e-9)
	time.Sleep(12 * time.Second) // every grace is over, and every copy old

	check := func(b *browser) (live bool) {
		require.NoError(t, run(managers[0], b, func(ctx context.Context, s *sessions.Session) {
			if live = !s.IsNew(); !live {
				return
			}
			for id := range n * steps {
				v, err := slot(id).GetOr(s, 0)
				require.NoError(t, err)
				switch {
				case v > 1:
					t.Errorf("change %d was made %d times", id, v)
				case v == 0 && acked[id]:
					t.Errorf("change %d was acknowledged, and is lost", id)
				case v == 1 && denied[id]:
					t.Errorf("change %d was denied, and made", id)
				}
			}
			if err := sessions.Key[int]("last").Set(s, 1); err != nil {
				t.Error(err)
			}
			if err := sessions.Commit(ctx); err != nil {
				t.Errorf("a live session can't be written: %v", err)
			}
		}))
		return live
	}
	ids := map[string]bool{}
	mu.Lock()
	values := make([]string, 0, len(issued))
	for value := range issued {
		values = append(values, value)
	}
	mu.Unlock()
	for _, value := range values {
		id, _, held := strings.Cut(value, ".")
		if held && place.cookie != nil {
			continue // a replayed record in a cookie is what it is
		}
		if check(&browser{value: value}) {
			ids[id] = true
		}
	}
	live := check(b)
	switch {
	case len(ids) > 1:
		t.Errorf("%d sessions live of one", len(ids))
	case out && (live || len(ids) > 0):
		t.Errorf("the session lives on after an acknowledged logout")
	case !live && len(ids) == 0 && !ends && !open:
		t.Errorf("the session is gone, and nobody ended it")
	}
	if t.Failed() {
		t.Logf("hybrid %v, cache %v, trouble %v", place.cookie != nil, config.CookieCache, steady)
		for _, line := range log {
			t.Log(line)
		}
	}
}

// eachSchedule runs f for as many seeds as BULLA_SCHEDULES says, or for BULLA_SEED alone.
func eachSchedule(t *testing.T, f func(*testing.T, uint64)) {
	first, rounds := schedules(t)
	for seed := first; seed < first+rounds; seed++ {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("BULLA_SEED=%d", seed)
				}
			}()
			f(t, seed)
		})
	}
}

func schedules(t *testing.T) (first, rounds uint64) {
	first, rounds = 1, 300
	if n, err := strconv.ParseUint(os.Getenv("BULLA_SCHEDULES"), 10, 64); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("BULLA_SEED"), 10, 64); err == nil {
		first, rounds = n, 1
	}
	return first, rounds
}
