//go:build unix

package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// farIndex is a server at a distance that lists the sessions of owners.
type farIndex struct {
	far
	index stores.OwnerIndex
}

// Place implements [stores.Store].
func (f farIndex) Place() stores.Place { return stores.Place{Name: "far", Server: f} }

// AddEntry implements [stores.OwnerIndex].
func (f farIndex) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (number uint64, err error) {
	err = f.call(ctx, func() error { number, err = f.index.AddEntry(ctx, owner, e); return err })
	return number, err
}

// Entries implements [stores.OwnerIndex].
func (f farIndex) Entries(ctx context.Context, owner stores.Key) (all []stores.Entry, err error) {
	err = f.call(ctx, func() error { all, err = f.index.Entries(ctx, owner); return err })
	return all, err
}

// RemoveEntries implements [stores.OwnerIndex].
func (f farIndex) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	return f.call(ctx, func() error { return f.index.RemoveEntries(ctx, owner, keys...) })
}

// onMemory runs test with a store in memory at a distance, in a time of its own: so
// what crosses there crosses in every order.
func onMemory(t *testing.T, test func(*testing.T, stores.Store)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		test(t, farIndex{far{l, new(trouble), time.Millisecond}, l})
	})
}

// crossers are two managers of one store, as two processes have them.
func crossers(t testing.TB, store stores.Store, change func(*sessions.Config)) [2]*sessions.Manager {
	enc, key := ring(t), encrypt.GenerateKey()
	with := func(c *sessions.Config) {
		c.Encryptor, c.Owners = enc, []encrypt.Key{key}
		if change != nil {
			change(c)
		}
	}
	return [2]*sessions.Manager{ownedManager(t, store, with), ownedManager(t, store, with)}
}

// together does all of these at once, each after a moment of its own, of some round
// trips to the memory.
func together(all ...func()) {
	var running sync.WaitGroup
	for _, do := range all {
		running.Go(func() {
			time.Sleep(rand.N(8 * time.Millisecond))
			do()
		})
	}
	running.Wait()
}

// onBoth runs a test of rounds on the memory and on Redis.
func onBoth(t *testing.T, memory, redis int, test func(t *testing.T, store stores.Store, rounds int)) {
	t.Run("memory", func(t *testing.T) {
		onMemory(t, func(t *testing.T, store stores.Store) { test(t, store, memory) })
	})
	t.Run("Redis", func(t *testing.T) { test(t, redisSingle(t).store, redis) })
}

// However many log in at once, in whatever order their calls come: when all have ended,
// no session lives that is not listed, no more than are allowed, and as many as there
// is room for. Where the limit refuses, every login that was answered lives.
func TestLimitOfLoginsThatCross(t *testing.T) {
	for _, logins := range []int{2, 12, 16} {
		for _, limit := range []int{1, 3, 5} {
			for name, over := range map[string]sessions.Overflow{"refuse": sessions.RefuseNew, "end": sessions.EndOldest} {
				t.Run(fmt.Sprintf("%d logins, limit %d, %s", logins, limit, name), func(t *testing.T) {
					onMemory(t, func(t *testing.T, store stores.Store) {
						limitOfLogins(t, store, many(20, 300), logins, limit, over)
					})
				})
			}
		}
	}
}

func limitOfLogins(t *testing.T, store stores.Store, rounds, logins, limit int, over sessions.Overflow) {
	ms := crossers(t, store, func(c *sessions.Config) { c.MaxSessionsPerOwner, c.Overflow = limit, over })
	hidden, beyond, short := 0, 0, 0
	for round := range rounds {
		user := fmt.Sprint("user ", round)
		jars, errs := make([]*jar, logins), make([]error, logins)
		var all []func()
		for i := range logins {
			all = append(all, func() { jars[i], errs[i] = ownedLogin(t.Context(), ms[i%2], user, "") })
		}
		together(all...)

		list, err := ms[0].Sessions(t.Context(), user)
		require.NoError(t, err)
		listed := make(map[sessions.Handle]bool)
		for _, o := range list {
			listed[o.Handle] = true
		}
		alive, in := 0, 0
		for i, j := range jars {
			if errs[i] != nil {
				require.ErrorIs(t, errs[i], sessions.ErrTooManySessions)
				require.Equal(t, sessions.RefuseNew, over)
			}
			if j.value == "" {
				continue
			}
			in++
			is, err := j.alive(t.Context(), ms[1])
			require.NoError(t, err)
			if !is {
				require.Equal(t, sessions.EndOldest, over, "a login that was answered was ended")
				continue
			}
			if alive++; !listed[sessions.Handle(j.browser().key().String())] {
				hidden++
			}
		}
		if alive > limit {
			beyond++
		}
		if alive < min(limit, logins) {
			short++
		}
		require.Len(t, list, alive)
	}
	require.Zero(t, hidden, "sessions that live and are not listed")
	require.Zero(t, beyond, "rounds with more sessions than are allowed")
	require.Zero(t, short, "rounds with fewer sessions than were possible")
}

// While all other sessions of a user are ended, the one that asks for it gets another
// ID by another request: it is kept, under the one ID or the other, and no other.
func TestRevokeOthersCrossesRegenerate(t *testing.T) {
	onBoth(t, many(1000, 20_000), many(100, 2000), func(t *testing.T, store stores.Store, rounds int) {
		ms := crossers(t, store, nil)
		moved := 0
		for round := range rounds {
			user := fmt.Sprint("user ", round)
			kept, err := ownedLogin(t.Context(), ms[0], user, "kept")
			require.NoError(t, err)
			other, err := ownedLogin(t.Context(), ms[1], user, "other")
			require.NoError(t, err)

			asks, moves := kept.clone(), kept.clone()
			var revoked, changed error
			together(func() {
				revoked = asks.do(t.Context(), ms[round%2], func(ctx context.Context, s *sessions.Session) error {
					_, err := ms[round%2].RevokeOthers(ctx, s)
					return err
				})
			}, func() {
				changed = moves.do(t.Context(), ms[round/2%2], func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })
			})
			require.NoError(t, changed)
			if revoked != nil { // it was gone already
				require.ErrorIs(t, revoked, stores.ErrNotFound)
			}
			now := kept
			if moves.told {
				now = moves
				moved++
				requireOut(t, ms[0], kept)
			}
			requireIn(t, ms[0], now)
			list, err := ms[0].Sessions(t.Context(), user)
			require.NoError(t, err)
			if revoked == nil {
				requireOut(t, ms[0], other)
				require.Len(t, list, 1)
			}
			for _, o := range list {
				if o.Label == "kept" {
					require.Equal(t, sessions.Handle(now.browser().key().String()), o.Handle)
				}
			}
		}
		t.Logf("%d of %d got another ID", moved, rounds)
		require.Positive(t, moved)
	})
}

// A logout, in whatever way, crosses one or two changes of the ID: where it is told as
// done the session is out, whoever came first.
func TestEndCrossesRegenerate(t *testing.T) {
	onBoth(t, many(2000, 40_000), many(150, 4000), func(t *testing.T, store stores.Store, rounds int) {
		ms := crossers(t, store, nil)
		ways := []struct {
			name string
			end  func(m *sessions.Manager, j *jar, user string) (done bool, err error)
		}{
			{"Destroy", func(m *sessions.Manager, j *jar, _ string) (bool, error) {
				err := j.do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
					s.Destroy()
					return sessions.Commit(ctx)
				})
				return err == nil, err
			}},
			{"Revoke", func(m *sessions.Manager, j *jar, user string) (bool, error) {
				err := m.Revoke(t.Context(), user, sessions.Handle(j.browser().key().String()))
				return err == nil, err
			}},
			{"RevokeAll", func(m *sessions.Manager, _ *jar, user string) (bool, error) {
				_, err := m.RevokeAll(t.Context(), user)
				return err == nil, err
			}},
		}
		told, moved := make([]int, len(ways)), 0
		for round := range rounds {
			user := fmt.Sprint("user ", round)
			first, err := ownedLogin(t.Context(), ms[0], user, "")
			require.NoError(t, err)
			ends, moves := first.clone(), first.clone()
			held := []*jar{first}
			var done bool
			together(func() {
				done, err = ways[round%len(ways)].end(ms[rand.N(2)], ends, user)
			}, func() {
				for range 1 + round%2 {
					err := moves.do(t.Context(), ms[rand.N(2)], func(_ context.Context, s *sessions.Session) error {
						if s.IsNew() {
							return nil
						}
						return s.Regenerate()
					})
					if err != nil {
						t.Errorf("new ID: %v", err)
					}
					if moves.told {
						moved++
						held = append(held, moves.clone())
					}
				}
			})
			if !done && !errors.Is(err, sessions.ErrEnded) && !errors.Is(err, stores.ErrNotFound) {
				t.Errorf("%s: %v", ways[round%len(ways)].name, err)
			}
			if !done {
				continue
			}
			told[round%len(ways)]++
			for i, j := range held {
				alive, err := j.alive(t.Context(), ms[0])
				require.NoError(t, err)
				require.False(t, alive, "%s was told as done, and ID %d of %d lives", ways[round%len(ways)].name, i, len(held))
			}
			list, err := ms[0].Sessions(t.Context(), user)
			require.NoError(t, err)
			require.Empty(t, list)
		}
		for i, way := range ways {
			t.Logf("%s: %d of %d were told as done", way.name, told[i], rounds/len(ways))
		}
		t.Logf("%d new IDs", moved)
		require.Positive(t, moved)
	})
}
