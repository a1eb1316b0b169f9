package sessions_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func limited(n int, endOldest bool) func(*sessions.Config) {
	return func(c *sessions.Config) { c.MaxSessionsPerOwner, c.EndOldest = n, endOldest }
}

// tryLogin is login where it may fail.
func (o *ownersOf) tryLogin(user string) (stores.Token, error) {
	s := o.m.New()
	if err := s.SetOwner(o.t.Context(), user); err != nil {
		return stores.Token{}, err
	}
	change, err := o.m.Commit(o.t.Context(), s, sessions.BeforeResponse)
	return change.Token, err
}

// A login that has filed its entry, and not yet written its record, loses neither
// to another's look at the list: it would live, and be on no list.
func TestTheLimitSparesALoginUnderWay(t *testing.T) {
	for _, moment := range []string{"entry", "save"} {
		t.Run(moment, func(t *testing.T) {
			store := &pausing{Store: newMemory(t), before: func(string) {}}
			o := newOwnersOf(t, store, limited(1, true))
			store.before = func(what string) {
				if what == moment {
					store.before = func(string) {}
					o.login("ann", "second")
				}
			}
			first, err := o.tryLogin("ann")
			list, listErr := o.m.Sessions(t.Context(), "ann")
			require.NoError(t, listErr)
			require.Len(t, list, 1)
			require.Equal(t, 1, store.Len())
			if err != nil { // its entry was there first
				require.ErrorIs(t, err, sessions.ErrEnded)
			} else {
				o.load(first)
			}
			n, err := o.m.RevokeAll(t.Context(), "ann")
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Zero(t, store.Len())
		})
	}
}

// The sessions of a user log in and change their IDs at once. The limit holds, and
// whatever lives is listed.
func TestTheLimitAmongRegenerations(t *testing.T) {
	for _, limit := range []int{1, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			fewer := 0
			defer func() { t.Logf("%d places stayed empty", fewer) }()
			for range 300 {
				store := newMemory(t)
				o := newOwnersOf(t, store, limited(limit, true))
				var toks []stores.Token
				for range limit {
					toks = append(toks, o.login("ann", ""))
				}
				var running sync.WaitGroup
				for i := range 6 {
					running.Go(func() {
						if i%2 == 0 {
							o.tryLogin("ann")
							return
						}
						s, err := o.m.Load(context.Background(), toks[i%limit])
						if err == nil {
							err = s.Regenerate()
						}
						if err == nil {
							o.m.Commit(context.Background(), s, sessions.BeforeResponse)
						}
					})
				}
				running.Wait()
				list, err := o.m.Sessions(t.Context(), "ann")
				require.NoError(t, err)
				require.LessOrEqual(t, len(list), limit)
				require.Equal(t, len(list), store.Len(), "a session lives that is not listed")
				fewer += limit - len(list)
			}
		})
	}
}

// Where sessions idle out their entries go too, not only at the absolute deadline.
func TestTheListOfManyLogins(t *testing.T) {
	const logins, every = 20_000, time.Minute
	synctest.Test(t, func(t *testing.T) {
		index := &counting{Store: newMemory(t)}
		o := newOwnersOf(t, index, func(c *sessions.Config) {
			limited(3, true)(c)
			unsealed(c)
			c.Lifetime, c.MaxLifetime = 90*time.Second, 30*24*time.Hour
		})
		for range logins {
			_, err := o.tryLogin("ann")
			require.NoError(t, err)
			time.Sleep(every)
		}
		require.LessOrEqual(t, index.most, int(stores.OrphanAge/every)+4, "a login has read more than an hour's entries")
		list, err := o.m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 1, "the others have idled out")
	})
}

// counting knows the longest list that was read.
type counting struct {
	*memstore.Store
	most int
}

func (c *counting) Entries(ctx context.Context, k stores.OwnerKey) ([]stores.Entry, error) {
	list, err := c.Store.Entries(ctx, k)
	c.most = max(c.most, len(list))
	return list, err
}

// What a refusing limit counts: sessions that have idled out do not, a login that
// died counts for a minute, and one whose answer was lost counts as long as the
// session lives, since nobody can tell that no browser has it.
func TestWhatARefusingLimitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pausing{Store: newMemory(t), before: func(string) {}}
		o := newOwnersOf(t, store, func(c *sessions.Config) {
			limited(1, false)(c)
			c.Lifetime = 20 * time.Minute
		})
		refused := func() {
			t.Helper()
			_, err := o.tryLogin("ann")
			require.ErrorIs(t, err, sessions.ErrTooManySessions)
		}
		o.login("ann", "the answer is lost")
		refused()
		time.Sleep(19 * time.Minute)
		refused()
		time.Sleep(2 * time.Minute)
		o.login("ann", "after it has idled out")
		_, err := o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)

		store.before = func(what string) {
			if what == "save" {
				panic("the process dies")
			}
		}
		require.Panics(t, func() { o.tryLogin("ann") })
		store.before = func(string) {}
		refused()
		time.Sleep(time.Minute + time.Second)
		o.login("ann", "after one that died")
	})
}
