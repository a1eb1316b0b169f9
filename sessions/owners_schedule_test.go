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

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func (u *unsteady) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	var mu sync.Mutex
	var n uint64
	_, err := u.pass(ctx, func() (stores.Revision, error) {
		got, err := u.Store.AddEntry(context.WithoutCancel(ctx), owner, e)
		mu.Lock()
		defer mu.Unlock()
		n = got
		return "", err
	})
	mu.Lock()
	defer mu.Unlock()
	return n, err
}

func (u *unsteady) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	fate, d := u.roll()
	time.Sleep(d)
	if fate < 0.5 {
		return nil, errLost
	}
	return u.Store.Entries(ctx, owner)
}

func (u *unsteady) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	_, err := u.pass(ctx, func() (stores.Revision, error) {
		return "", u.Store.RemoveEntries(context.WithoutCancel(ctx), owner, keys...)
	})
	return err
}

// TestOwnerSchedules runs random schedules of logins, regenerations, revocations and
// logouts of one user's browsers over an unsteady server.
func TestOwnerSchedules(t *testing.T) {
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
		synctest.Test(t, func(t *testing.T) { ownerSchedule(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func ownerSchedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	mem, err := memstore.New()
	require.NoError(t, err)
	u := &unsteady{Store: mem, rng: rand.New(rand.NewPCG(seed, 1)), trouble: []float64{1e-9, 0.05, 0.2, 0.4}[rng.IntN(4)], retries: rng.IntN(2) == 0}
	config := sessions.Config{Encryptor: newRing(t), Owners: []encrypt.Key{encrypt.GenerateKey()}}
	if limit := rng.IntN(4); limit > 0 {
		config.MaxSessionsPerOwner, config.Overflow = limit, sessions.Overflow(rng.IntN(2))
	}
	managers := make([]*sessions.Manager, 1+rng.IntN(3))
	for i := range managers {
		managers[i], err = sessions.NewManager(u, config)
		require.NoError(t, err)
	}
	const user = "ada"
	who := sessions.Key[string]("who")
	steady := u.trouble

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
	login := func(ctx context.Context, s *sessions.Session) error {
		if err := s.SetOwner(ctx, user); err != nil {
			return err
		}
		if err := who.Set(s, user); err != nil {
			return err
		}
		return sessions.Commit(ctx)
	}

	var (
		mu      sync.Mutex
		log     []string
		unknown bool // an answer left it open
		refused int
	)
	began := time.Now()
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf("%v: ", time.Since(began))+fmt.Sprintf(format, args...))
	}
	// What is known of each browser's session: when its login was acknowledged,
	// and when an acknowledged revocation of it began.
	type tab struct {
		*browser
		loggedIn time.Time // zero: never
		revoked  time.Time // by a revocation that began then, and was acknowledged
		open     bool      // something of it is not known
		out      bool      // it logged out itself
	}
	tabs := make([]*tab, 2+rng.IntN(4))
	for i := range tabs {
		tabs[i] = &tab{browser: &browser{}}
	}
	u.calm(1e-9)
	for _, b := range tabs {
		if rng.IntN(2) == 0 { // an old visitor
			require.NoError(t, run(managers[0], b.browser, func(_ context.Context, s *sessions.Session) error { return who.Set(s, "visitor") }))
		}
	}
	u.calm(steady)

	n, spread := 2+rng.IntN(7), 1+rng.IntN(30)
	var wg sync.WaitGroup
	for i := range n {
		kind, pause, m, at := rng.IntN(10), time.Duration(rng.IntN(spread))*time.Millisecond, managers[rng.IntN(len(managers))], rng.IntN(len(tabs))
		b := tabs[at]
		wg.Go(func() {
			time.Sleep(pause)
			start := time.Now()
			var err error
			what := ""
			switch {
			case kind < 5:
				what = "login"
				err = run(m, b.browser, login)
				mu.Lock()
				switch {
				case err == nil:
					b.loggedIn = time.Now()
					if b.revoked.Before(start) {
						b.revoked = time.Time{}
					}
					b.out = false
				case errors.Is(err, sessions.ErrTooManySessions):
					refused++
				default:
					b.open = true
				}
				mu.Unlock()
			case kind < 7:
				what = "regenerate"
				err = run(m, b.browser, func(ctx context.Context, s *sessions.Session) error {
					if s.Owner() == "" {
						return errors.New("nobody")
					}
					if err := s.Regenerate(); err != nil {
						return err
					}
					return sessions.Commit(ctx)
				})
				if err != nil {
					mu.Lock()
					b.open = true
					mu.Unlock()
				}
			case kind < 8:
				what = "revoke all"
				_, err = m.RevokeAll(t.Context(), user)
				if err == nil {
					mu.Lock()
					for _, b := range tabs {
						if !b.loggedIn.IsZero() && b.loggedIn.Before(start) {
							b.revoked = start
						} else {
							b.open = true // a login under way may end with the rest
						}
					}
					mu.Unlock()
				} else {
					mu.Lock()
					for _, b := range tabs {
						b.open = true
					}
					mu.Unlock()
				}
			case kind < 9:
				what = "revoke others"
				err = run(m, b.browser, func(ctx context.Context, s *sessions.Session) error {
					if s.Owner() == "" {
						return errors.New("nobody")
					}
					if _, err := m.RevokeOthers(ctx, s); err != nil {
						return err
					}
					return sessions.Commit(ctx)
				})
				mu.Lock()
				for _, other := range tabs {
					if other != b {
						if err == nil && !other.loggedIn.IsZero() && other.loggedIn.Before(start) {
							other.revoked = start
						} else {
							other.open = true
						}
					} else if err != nil || !b.loggedIn.Before(start) { // else it may be another session of its own
						b.open = true
					}
				}
				mu.Unlock()
			default:
				what = "logout"
				err = run(m, b.browser, func(ctx context.Context, s *sessions.Session) error {
					s.Destroy()
					return sessions.Commit(ctx)
				})
				mu.Lock()
				b.out = true
				mu.Unlock()
			}
			note("request %d: %s by browser %d, begun %v: %v", i, what, at, start.Sub(began), err)
			if err != nil {
				mu.Lock()
				unknown = unknown || errors.Is(err, stores.ErrUnavailable)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	u.late.Wait()
	u.calm(1e-9)
	time.Sleep(12 * time.Second)

	list, err := managers[0].Sessions(t.Context(), user)
	require.NoError(t, err)
	listed := map[sessions.Handle]bool{}
	for _, o := range list {
		listed[o.Handle] = true
	}
	alive := 0
	for i, b := range tabs {
		require.NoError(t, run(managers[0], b.browser, func(_ context.Context, s *sessions.Session) error {
			if s.Owner() == "" {
				if !b.loggedIn.IsZero() && !b.open && !b.out && b.revoked.IsZero() && config.MaxSessionsPerOwner > 0 && config.Overflow == sessions.RefuseNew {
					t.Errorf("browser %d: its acknowledged login was ended by a limit that refuses", i)
				}
				return nil
			}
			alive++
			if !listed[s.Handle()] {
				t.Errorf("browser %d: a live session is not listed", i)
			}
			if !b.revoked.IsZero() && b.loggedIn.Before(b.revoked) {
				t.Errorf("browser %d: it lives after an acknowledged revocation", i)
			}
			return nil
		}))
	}
	if most := config.MaxSessionsPerOwner; most > 0 && alive > most && !(config.Overflow == sessions.RefuseNew && unknown) {
		t.Errorf("%d sessions live, over the limit of %d", alive, most)
	}
	if n, err := managers[0].RevokeAll(t.Context(), user); err != nil || n < alive {
		t.Errorf("RevokeAll found %d, %v; %d were alive", n, err, alive)
	}
	for i, b := range tabs {
		require.NoError(t, run(managers[0], b.browser, func(_ context.Context, s *sessions.Session) error {
			if s.Owner() != "" {
				t.Errorf("browser %d: it lives after RevokeAll", i)
			}
			return nil
		}))
	}
	if t.Failed() {
		t.Logf("limit %d, overflow %d, trouble %v", config.MaxSessionsPerOwner, config.Overflow, steady)
		for _, line := range log {
			t.Log(line)
		}
	}
}
