package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// unsteady is a server behind a network that loses requests and replies, delivers
// late, and whose client may send a write twice without a word. What it does follows
// from the seed.
type unsteady struct {
	*memstore.Store
	mu      sync.Mutex
	rng     *rand.Rand
	trouble float64 // share of calls that meet some
	retries bool    // the client sends again by itself
	late    sync.WaitGroup
}

func (u *unsteady) Place() stores.Place { return stores.Place{Name: "unsteady", Server: u} }

var errLost = errors.Join(stores.ErrUnavailable, errors.New("the connection broke"))

func (u *unsteady) roll() (fate float64, d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fate = u.rng.Float64() / u.trouble
	return fate, time.Duration(u.rng.Int64N(int64(3 * time.Millisecond)))
}

// pass carries a write out, or not, and says what becomes of its reply.
func (u *unsteady) pass(ctx context.Context, do func() (stores.Revision, error)) (stores.Revision, error) {
	fate, d := u.roll()
	time.Sleep(d)
	switch {
	case fate > 1:
		return do()
	case fate < 0.4: // the reply is lost
		do()
		if u.retries {
			time.Sleep(d)
			return do()
		}
	case fate < 0.7: // the request is
	case fate < 0.9: // it is only late
		u.late.Go(func() { time.Sleep(100 * d); do() })
	default: // no answer at all
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		if d%2 == 0 {
			do()
		}
	}
	return "", errLost
}

// calm ends all trouble.
func (u *unsteady) calm(trouble float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trouble = trouble
}

func (u *unsteady) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	fate, d := u.roll()
	time.Sleep(d)
	if fate < 0.5 {
		return stores.Record{}, errLost
	}
	return u.Store.Load(ctx, key, f)
}

func (u *unsteady) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	return u.pass(ctx, func() (stores.Revision, error) { return u.Store.Save(context.WithoutCancel(ctx), key, rec) })
}

func (u *unsteady) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	_, err := u.pass(ctx, func() (stores.Revision, error) { return "", u.Store.Put(context.WithoutCancel(ctx), key, rec) })
	return err
}

// browser holds one cookie, as a browser does: a request takes what is there when it
// begins, and a response that sets or removes it counts when it arrives.
type browser struct {
	mu    sync.Mutex
	value string
}

func (b *browser) request() *exchange {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &exchange{b: b, sent: b.value}
}

type exchange struct {
	sessions.Exchange
	b     *browser
	sent  string
	reply sessions.Reply
}

func (e *exchange) Values() []string {
	if e.sent == "" {
		return nil
	}
	return []string{e.sent}
}
func (e *exchange) Autoload() bool         { return false }
func (e *exchange) Reply(r sessions.Reply) { e.reply = r }

// arrive lets the response reach the browser.
func (e *exchange) arrive() {
	e.b.mu.Lock()
	defer e.b.mu.Unlock()
	if e.reply.Remove {
		e.b.value = ""
	} else if !e.reply.IsZero() {
		e.b.value = e.reply.Value()
	}
}

func slot(i int) sessions.Key[int] { return sessions.Key[int]("slot " + strconv.Itoa(i)) }

// TestSchedules runs random schedules of requests of one browser, some with the same
// cookie in a thief's hands, over an unsteady server, and checks what must hold of each.
func TestSchedules(t *testing.T) {
	rounds := 300
	if n, err := strconv.Atoi(os.Getenv("BULLA_SCHEDULES")); err == nil {
		rounds = n
	}
	first := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("BULLA_SEED"), 10, 64); err == nil {
		first, rounds = n, 1
	}
	for i := range rounds {
		seed := first + uint64(i)
		synctest.Test(t, func(t *testing.T) { schedule(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func schedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	mem, err := memstore.New()
	require.NoError(t, err)
	u := &unsteady{Store: mem, rng: rand.New(rand.NewPCG(seed, 1)), trouble: []float64{1e-9, 0.05, 0.3, 0.6}[rng.IntN(4)], retries: rng.IntN(2) == 0}
	ring := newRing(t)
	managers := make([]*sessions.Manager, 1+rng.IntN(3))
	config := sessions.Config{Encryptor: ring}
	if rng.IntN(3) == 0 {
		config.CookieCache = time.Duration(1+rng.IntN(2000)) * time.Millisecond
	}
	for i := range managers {
		managers[i], err = sessions.NewManager(u, config)
		require.NoError(t, err)
	}

	steady := u.trouble
	u.calm(1e-9)
	b := &browser{}
	run := func(m *sessions.Manager, b *browser, f func(ctx context.Context, s *sessions.Session) error) error {
		e := b.request()
		ctx := e.Begin(t.Context(), m, e)
		s, err := sessions.Load(ctx)
		if err == nil {
			err = f(ctx, s)
		}
		if _, failed := e.Respond(); failed != nil {
			return failed
		}
		e.Finish()
		e.arrive()
		return err
	}
	require.NoError(t, run(managers[0], b, func(ctx context.Context, s *sessions.Session) error { return sessions.Key[string]("who").Set(s, "Ada") }))
	u.calm(steady)

	var (
		mu      sync.Mutex
		acked   = map[int]bool{} // whose answer was a success
		tried   = map[int]bool{}
		out     []int // acknowledged logouts, by when they were sent
		unknown bool  // some answer left it open
		ends    bool  // somebody tried to log out
		log     []string
	)
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf("%v: ", time.Now().Sub(time.Time{})%time.Hour)+fmt.Sprintf(format, args...))
	}
	n, spread := 2+rng.IntN(6), 1+rng.IntN(20)
	var wg sync.WaitGroup
	for i := range n {
		kind, pause, m := rng.IntN(10), time.Duration(rng.IntN(spread))*time.Millisecond, managers[rng.IntN(len(managers))]
		wg.Go(func() {
			time.Sleep(pause)
			err := run(m, b, func(ctx context.Context, s *sessions.Session) error {
				if s.IsNew() {
					return errors.New("logged out")
				}
				switch {
				case kind < 6:
					mu.Lock()
					tried[i] = true
					mu.Unlock()
					if _, err := slot(i).Update(s, func(n int) int { return n + 1 }); err != nil {
						return err
					}
				case kind < 9:
					if err := s.Regenerate(); err != nil {
						return err
					}
				default:
					s.Destroy()
					mu.Lock()
					ends = true
					mu.Unlock()
				}
				return sessions.Commit(ctx)
			})
			note("request %d, kind %d: %v", i, kind, err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && kind < 6:
				acked[i] = true
			case err == nil && kind == 9:
				out = append(out, i)
			case errors.Is(err, stores.ErrUnavailable):
				unknown = true
			}
		})
	}
	wg.Wait()
	u.late.Wait()
	u.calm(1e-9)
	time.Sleep(12 * time.Second) // every grace is over

	// What is there now, for who holds the browser's cookie?
	live := false
	err = run(managers[0], b, func(ctx context.Context, s *sessions.Session) error {
		live = !s.IsNew()
		if !live {
			return nil
		}
		for i := range n {
			v, err := slot(i).GetOr(s, 0)
			if err != nil {
				return err
			}
			switch {
			case v > 1:
				t.Errorf("change %d was made %d times", i, v)
			case v == 0 && acked[i]:
				t.Errorf("change %d was acknowledged, and is lost", i)
			case v == 1 && !tried[i]:
				t.Errorf("change %d was never tried", i)
			}
		}
		// A live session can be written.
		if err := sessions.Key[int]("last").Set(s, 1); err != nil {
			return err
		}
		return sessions.Commit(ctx)
	})
	require.NoError(t, err)
	if len(out) > 0 && live {
		t.Errorf("the session lives on after an acknowledged logout")
	}
	if !live && !ends && !unknown {
		// Only an end, or an answer that left something open, may end it.
		t.Errorf("the session is gone, and nobody ended it")
	}
	if t.Failed() {
		for _, line := range log {
			t.Log(line)
		}
	}
}
