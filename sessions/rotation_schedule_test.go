package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// strewn is an unsteady server whose index numbers each list by itself.
type strewn struct {
	*unsteady
	lists *perList
}

func (s strewn) Place() stores.Place { return stores.Place{Name: "strewn", Server: s} }

func (s strewn) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	rev, err := s.pass(ctx, func() (stores.Revision, error) {
		n, err := s.lists.AddEntry(context.WithoutCancel(ctx), owner, e)
		return stores.Revision(strconv.FormatUint(n, 10)), err
	})
	n, _ := strconv.ParseUint(string(rev), 10, 64)
	return n, err
}

func (s strewn) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	_, err := s.pass(ctx, func() (stores.Revision, error) {
		return "", s.lists.RemoveEntries(context.WithoutCancel(ctx), owner, keys...)
	})
	return err
}

// batches is strewn, and can ask for many records at once.
type batches struct{ strewn }

func (b batches) Place() stores.Place { return stores.Place{Name: "batches", Server: b} }

func (b batches) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	return loadMany(ctx, b.strewn, keys)
}

func (b batches) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	return saveMany(ctx, b.strewn, keys, recs)
}

// TestRotationSchedules runs random schedules of logins, changes of the ID, of the label
// and of the times, revocations and logouts of one user's browsers, while the owners'
// keys change: some processes have the one first, some the other.
func TestRotationSchedules(t *testing.T) {
	eachSchedule(t, rotationSchedule)
}

func rotationSchedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	mem, err := memstore.New()
	require.NoError(t, err)
	u := &unsteady{Store: mem, rng: rand.New(rand.NewPCG(seed, 1)), trouble: []float64{1e-9, 0.05, 0.2, 0.4}[rng.IntN(4)], retries: rng.IntN(2) == 0}
	var store stores.Store = strewn{u, newPerList(mem)}
	if rng.IntN(2) == 0 {
		store = batches{store.(strewn)}
	}
	config := sessions.Config{Encryptor: newRing(t)}
	if limit := rng.IntN(4); limit > 0 {
		config.MaxSessionsPerOwner, config.Overflow = limit, sessions.Overflow(rng.IntN(2))
	}
	if rng.IntN(3) == 0 {
		config.CookieCache = time.Duration(1+rng.IntN(2000)) * time.Millisecond
	}
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	orders := [][]encrypt.Key{{a, b}, {b, a}}
	managers := make([]*sessions.Manager, 1+rng.IntN(3))
	for i := range managers {
		config.Owners = orders[rng.IntN(2)]
		managers[i] = newManager(t, store, config)
	}
	const (
		login   = sessions.Key[int]("login") // which login it was; 0: none
		visitor = sessions.Key[bool]("visitor")
	)

	type logged struct {
		user string
		at   time.Time // when it was acknowledged; zero: never
	}
	type revocation struct {
		user  string
		began time.Time
		spare int // the login that it spares
	}
	var (
		mu       sync.Mutex
		log      []string
		issued   = map[string]bool{} // every value that a response carried
		logins   = map[int]*logged{}
		replaced = map[int]bool{} // logins that another took over
		revoked  []revocation     // those that were acknowledged
		ends     bool             // somebody tried to end something
		open     bool             // an answer left something open
	)
	began := time.Now()
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf("%v: ", time.Since(began))+fmt.Sprintf(format, args...))
	}
	run := func(m *sessions.Manager, b *browser, f func(ctx context.Context, s *sessions.Session) error) error {
		e := b.request()
		ctx := e.Begin(t.Context(), m, e)
		s, err := sessions.Load(ctx)
		if err == nil {
			err = f(ctx, s)
		}
		_, failed := e.Respond()
		if failed == nil {
			e.Finish()
		}
		mu.Lock()
		if !e.reply.Remove && !e.reply.IsZero() {
			issued[e.reply.Value()] = true
		}
		mu.Unlock()
		e.arrive()
		if err == nil {
			err = failed
		}
		return err
	}
	errNobody := errors.New("nobody")

	steady := u.trouble
	u.calm(1e-9)
	tabs := make([]browser, 2+rng.IntN(4))
	for i := range tabs {
		if rng.IntN(2) == 0 {
			require.NoError(t, run(managers[0], &tabs[i], func(_ context.Context, s *sessions.Session) error { return visitor.Set(s, true) }))
		}
	}
	u.calm(steady)

	n, spread := 2+rng.IntN(8), 1+rng.IntN(30)
	var wg sync.WaitGroup
	for i := range n {
		kind, pause, m, at := rng.IntN(14), time.Duration(rng.IntN(spread))*time.Millisecond, managers[rng.IntN(len(managers))], rng.IntN(len(tabs))
		user := []string{"ada", "ada", "ada", "ada", "bob"}[rng.IntN(5)]
		b, id := &tabs[at], i+1
		wg.Go(func() {
			time.Sleep(pause)
			start := time.Now()
			what, spare := "", 0
			var err error
			owned := func(do func(context.Context, *sessions.Session) error) error {
				return run(m, b, func(ctx context.Context, s *sessions.Session) error {
					if s.Owner() == "" {
						return errNobody
					}
					if err := do(ctx, s); err != nil {
						return err
					}
					return sessions.Commit(ctx)
				})
			}
			switch {
			case kind < 6:
				what = "login of " + user
				mu.Lock()
				logins[id] = &logged{user: user}
				mu.Unlock()
				before := 0
				err = run(m, b, func(ctx context.Context, s *sessions.Session) error {
					if err := s.SetOwner(ctx, user); err != nil {
						return err
					}
					if _, err := login.Update(s, func(n int) int { before = n; return id }); err != nil {
						return err
					}
					return sessions.Commit(ctx)
				})
				mu.Lock()
				replaced[before] = true
				if err == nil {
					logins[id].at = time.Now()
				}
				mu.Unlock()
			case kind < 8:
				what = "regenerate"
				err = owned(func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })
			case kind < 9:
				what = "label"
				err = owned(func(_ context.Context, s *sessions.Session) error { return s.SetLabel(strconv.Itoa(id)) })
			case kind < 10:
				what = "limit"
				err = owned(func(_ context.Context, s *sessions.Session) error { return s.Limit(time.Hour, 10*time.Minute) })
			case kind < 11:
				what = "revoke all of " + user
				_, err = m.RevokeAll(t.Context(), user)
			case kind < 13:
				what = "revoke others"
				err = owned(func(ctx context.Context, s *sessions.Session) error {
					user = s.Owner()
					if spare, err = login.GetOr(s, 0); err != nil {
						return err
					}
					_, err := m.RevokeOthers(ctx, s)
					return err
				})
			default:
				what = "logout"
				err = run(m, b, func(ctx context.Context, s *sessions.Session) error {
					s.Destroy()
					return sessions.Commit(ctx)
				})
			}
			note("request %d by browser %d, begun %v: %s: %v", id, at, start.Sub(began), what, err)
			mu.Lock()
			defer mu.Unlock()
			open = open || errors.Is(err, stores.ErrUnavailable)
			if kind >= 10 && !errors.Is(err, errNobody) {
				if ends = true; kind < 13 && err == nil {
					revoked = append(revoked, revocation{user, start, spare})
				}
			}
		})
	}
	wg.Wait()
	u.late.Wait()
	u.calm(1e-9)
	time.Sleep(12 * time.Second)

	config.Owners = orders[0]
	m := newManager(t, store, config)
	listed, alive := map[sessions.Handle]bool{}, map[string]int{}
	for _, user := range []string{"ada", "bob"} {
		list, err := m.Sessions(t.Context(), user)
		require.NoError(t, err)
		for _, o := range list {
			listed[o.Handle] = true
		}
	}
	values := make([]string, 0, len(issued))
	for value := range issued {
		values = append(values, value)
	}
	living, handles := map[int]bool{}, map[sessions.Handle]bool{}
	for _, value := range values {
		require.NoError(t, run(m, &browser{value: value}, func(_ context.Context, s *sessions.Session) error {
			if s.Owner() == "" || handles[s.Handle()] {
				return nil
			}
			handles[s.Handle()] = true
			alive[s.Owner()]++
			if !listed[s.Handle()] {
				t.Errorf("a live session is not listed")
			}
			id, err := login.GetOr(s, 0)
			if err != nil {
				return err
			}
			if living[id] {
				t.Errorf("login %d lives twice", id)
			}
			living[id] = true
			for _, r := range revoked {
				if l := logins[id]; l.user == r.user && !l.at.IsZero() && l.at.Before(r.began) && id != r.spare {
					t.Errorf("login %d lives after an acknowledged revocation", id)
				}
			}
			return nil
		}))
	}
	for user, n := range alive {
		if most := config.MaxSessionsPerOwner; most > 0 && n > most && !(open && config.Overflow == sessions.RefuseNew) {
			t.Errorf("%d sessions of %s live, over the limit of %d", n, user, most)
		}
	}
	if !ends && !open && (config.MaxSessionsPerOwner == 0 || config.Overflow == sessions.RefuseNew) {
		for id, l := range logins {
			if !l.at.IsZero() && !living[id] && !replaced[id] {
				t.Errorf("login %d was acknowledged, and is gone", id)
			}
		}
	}
	for _, user := range []string{"ada", "bob"} {
		if n, err := m.RevokeAll(t.Context(), user); err != nil || n < alive[user] {
			t.Errorf("RevokeAll found %d of %s, %v; %d were alive", n, user, err, alive[user])
		}
	}
	time.Sleep(3 * time.Second) // copies are old
	for _, value := range values {
		require.NoError(t, run(m, &browser{value: value}, func(_ context.Context, s *sessions.Session) error {
			if s.Owner() != "" {
				t.Errorf("a session lives after RevokeAll")
			}
			return nil
		}))
	}
	if t.Failed() {
		t.Logf("limit %d, overflow %d, cache %v, trouble %v", config.MaxSessionsPerOwner, config.Overflow, config.CookieCache, steady)
		for _, line := range log {
			t.Log(line)
		}
	}
}
