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
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func limited(n int, o sessions.Overflow) func(*sessions.Config) {
	return func(c *sessions.Config) { c.MaxSessionsPerOwner, c.Overflow = n, o }
}

// tryLogin is login where it may fail.
func (o *ownersOf) tryLogin(user string) (token.Token, error) {
	s := o.m.New()
	if err := s.SetOwner(o.t.Context(), user); err != nil {
		return token.Token{}, err
	}
	change, err := o.m.Commit(o.t.Context(), s, sessions.BeforeResponse)
	return change.Token, err
}

// A login that has filed its entry, and not yet written its record, loses nothing of
// that to another's look at the list: it would live, and be on no list.
func TestTheLimitSparesALoginUnderWay(t *testing.T) {
	for _, moment := range []string{"add", "save"} {
		t.Run(moment, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, limited(1, sessions.EndOldest))
			var second token.Token
			store.before = on(moment, 1, func() error {
				store.before = nil
				second = o.login("ann", "second")
				return nil
			})
			first, err := o.tryLogin("ann")
			list, listErr := o.m.Sessions(t.Context(), "ann")
			require.NoError(t, listErr)
			require.Len(t, list, 1)
			require.Equal(t, 1, store.Len())
			if moment == "save" { // its entry was there first
				require.ErrorIs(t, err, sessions.ErrEnded)
				o.load(second)
			} else {
				require.NoError(t, err)
				o.load(first)
			}
			n, err := o.m.RevokeAll(t.Context(), "ann")
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Zero(t, store.Len())
		})
	}
}

// The sessions of a user log in and change their IDs at once. The newest logins stay,
// as many as the limit allows, and whatever lives is listed.
func TestTheLimitAmongRegenerations(t *testing.T) {
	for _, limit := range []int{1, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			for range many(60, 300) {
				store := newStore(t)
				o := newOwnersOf(t, store, limited(limit, sessions.EndOldest))
				processes := []*ownersOf{o, o.elsewhere}
				var toks []token.Token
				for range limit {
					toks = append(toks, o.login("ann", ""))
				}
				var running sync.WaitGroup
				for i := range 6 {
					running.Go(func() {
						if p := processes[i/2%2]; i%2 == 0 {
							p.tryLogin("ann")
						} else {
							p.changeID(toks[i%limit])
						}
					})
				}
				running.Wait()
				list, err := o.m.Sessions(t.Context(), "ann")
				require.NoError(t, err)
				require.Len(t, list, limit)
				require.Equal(t, limit, store.Len(), "a session lives that is not listed")
				o.listed(store.Len)
			}
		})
	}
}

// Where sessions idle out their entries go too, not only at the absolute deadline.
func TestTheListOfManyLogins(t *testing.T) {
	const every = time.Minute
	synctest.Test(t, func(t *testing.T) {
		mem, err := memstore.New()
		require.NoError(t, err)
		index := &longest{Store: mem}
		o := newOwnersOf(t, index, func(c *sessions.Config) {
			limited(3, sessions.EndOldest)(c)
			unsealed(c)
			c.Rolling, c.Lifetime = 90*time.Second, 30*24*time.Hour
		})
		for range many(2_000, 20_000) {
			_, err := o.tryLogin("ann")
			require.NoError(t, err)
			time.Sleep(every)
		}
		require.LessOrEqual(t, index.most, int(time.Hour/every)+4, "a login has read more than an hour's entries")
		list, err := o.m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 1, "the others have idled out")
	})
}

// longest knows the longest list that was read.
type longest struct {
	*memstore.Store
	most int
}

func (l *longest) Place() stores.Place { return stores.Place{Name: "memory", Server: l} }

func (l *longest) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	list, err := l.Store.Entries(ctx, owner)
	l.most = max(l.most, len(list))
	return list, err
}

// What a refusing limit counts: a login that died counts for an hour, since it may be
// under way; so does a session that has idled out, whose entry looks the same; and one
// whose answer was lost counts as long as the session lives, since nobody can tell
// that no browser has it.
func TestWhatARefusingLimitCounts(t *testing.T) {
	for _, idle := range []time.Duration{20 * time.Minute, 2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, func(c *sessions.Config) {
				limited(1, sessions.RefuseNew)(c)
				c.Rolling = idle
			})
			refused := func() {
				t.Helper()
				_, err := o.tryLogin("ann")
				require.ErrorIs(t, err, sessions.ErrTooManySessions)
				require.LessOrEqual(t, store.Len(), 1, "of a refused one nothing stays")
			}
			o.login("ann", "the answer is lost")
			free := time.Now().Add(idle)
			refused()
			time.Sleep(time.Until(free) - time.Millisecond)
			refused()
			time.Sleep(2 * time.Millisecond)
			o.login("ann", "after it has idled out")
			_, err := o.m.RevokeAll(t.Context(), "ann")
			require.NoError(t, err)
			o.login("ann", "after all were ended")
			_, err = o.m.RevokeAll(t.Context(), "ann")
			require.NoError(t, err)

			store.before = on("save", 1, func() error { panic("the process dies") })
			require.Panics(t, func() { o.tryLogin("ann") })
			store.before = nil
			refused()
			time.Sleep(10*time.Minute - time.Millisecond)
			refused()
			time.Sleep(2 * time.Millisecond)
			o.login("ann", "after one that died")
		})
	}
}

// An entry that has had no record for an hour leaves the list when it is read; a
// younger one may be a login's that is under way, and one that has its record stays.
func TestOrphansLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, func(c *sessions.Config) { c.Rolling = 0 })
		size := func() (n int) {
			t.Helper()
			var owner stores.Key
			store.before = func(_ context.Context, c call) error {
				if c.op == "list" {
					owner = c.key
				}
				return nil
			}
			require.Equal(t, "live", o.labels("ann"))
			store.before = nil
			entries, err := store.Store.Entries(t.Context(), owner)
			require.NoError(t, err)
			return len(entries)
		}
		die := func() {
			t.Helper()
			store.before = on("save", 1, func() error { panic("the process dies") })
			require.Panics(t, func() { o.tryLogin("ann") })
			store.before = nil
		}
		o.login("ann", "live")
		for range 10 {
			die()
		}
		time.Sleep(time.Minute)
		die()
		require.Equal(t, 12, size())
		time.Sleep(59 * time.Minute)
		require.Equal(t, 12, size())
		time.Sleep(time.Second)
		require.Equal(t, 2, size())
		time.Sleep(time.Minute)
		require.Equal(t, 1, size())
		time.Sleep(24 * time.Hour)
		require.Equal(t, 1, size())
	})
}
