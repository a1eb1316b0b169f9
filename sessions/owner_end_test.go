package sessions_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// A user who ends sessions, and goes away before there is an answer, has ended them.
func TestRevocationsOutliveTheirClient(t *testing.T) {
	for what, c := range map[string]struct {
		revoke func(ctx context.Context, o *ownersOf, mine token.Token) error
		left   int
	}{
		"all": {func(ctx context.Context, o *ownersOf, _ token.Token) error {
			_, err := o.m.RevokeAll(ctx, "ann")
			return err
		}, 0},
		"others": {func(ctx context.Context, o *ownersOf, mine token.Token) error {
			_, err := o.m.RevokeOthers(ctx, o.load(mine))
			return err
		}, 1},
		"external": {func(ctx context.Context, o *ownersOf, _ token.Token) error {
			_, err := o.m.RevokeExternal(ctx, issuer, "s1")
			return err
		}, 0},
		"one": {func(ctx context.Context, o *ownersOf, mine token.Token) error {
			return o.m.Revoke(ctx, "ann", sessions.Handle(mine.ID.Key().String()))
		}, 2},
	} {
		for _, moment := range []string{"", "load", "list", "end", "remove"} {
			t.Run(what+" "+moment, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				var mine token.Token
				for range 3 {
					mine = o.loginWith("ann", "s1")
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if moment == "" {
					cancel()
				}
				store.before = on(moment, 1, func() error { cancel(); return nil })
				require.NoError(t, c.revoke(ctx, o, mine))
				store.before = nil
				require.Equal(t, c.left, store.Len())
			})
		}
	}
}

// The time that a caller has for it still counts.
func TestRevocationsKeepToADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, nil)
		for range 10 {
			o.login("ann", "")
		}
		store.before = func(context.Context, call) error { time.Sleep(time.Second); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		_, err := o.m.RevokeAll(ctx, "ann")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, t.Context().Err())
	})
}

// hammer changes a session all the time, in another process, until it has ended or has
// another ID. changes is how often that was acknowledged.
func (o *ownersOf) hammer(tok token.Token) (changes <-chan int) {
	done := make(chan int, 1)
	go func() {
		n := 0
		defer func() { done <- n }()
		for {
			s, err := o.elsewhere.m.Load(o.t.Context(), tok)
			if err == nil {
				increment(o.t, s)
				_, err = o.elsewhere.m.Commit(o.t.Context(), s, sessions.BeforeResponse)
			}
			if err != nil {
				return
			}
			n++
		}
	}()
	time.Sleep(100 * time.Millisecond)
	return done
}

// A session that is changed all the time, by requests of another process, ends like every
// other: by a logout, and by who ends all of its owner's. A thief must not stay logged in
// by asking for more than others do.
func TestASessionInConstantUseEnds(t *testing.T) {
	for what, end := range map[string]func(*testing.T, *ownersOf, token.Token) error{
		"logout": func(t *testing.T, o *ownersOf, tok token.Token) error {
			s := o.load(tok)
			s.Destroy()
			_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			return err
		},
		"all": func(t *testing.T, o *ownersOf, _ token.Token) error {
			_, err := o.m.RevokeAll(t.Context(), "ann")
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				tok, other := o.login("ann", "stolen"), o.login("ann", "phone")
				store.before = func(context.Context, call) error { time.Sleep(time.Millisecond); return nil }
				changes := o.hammer(tok)
				began := time.Now()
				err := end(t, o, tok)
				took := time.Since(began)
				store.end(t, tok.ID.Key()) // for who changes it, if it lives
				<-changes
				require.NoError(t, err, fmt.Sprint("after ", took))
				require.Less(t, took, time.Second)
				store.before = nil
				if what == "all" {
					o.dead(other)
				}
				o.dead(tok)
			})
		})
	}
}

// Nor does a new ID, or a login, fail because of them, and it loses none of their changes.
func TestASessionInConstantUseGetsANewID(t *testing.T) {
	for what, move := range map[string]func(*ownersOf, *sessions.Session) error{
		"new ID":       func(_ *ownersOf, s *sessions.Session) error { return s.Regenerate() },
		"second proof": func(o *ownersOf, s *sessions.Session) error { return s.SetOwner(o.t.Context(), "ann") },
		"login":        func(o *ownersOf, s *sessions.Session) error { return s.SetOwner(o.t.Context(), "bob") },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				tok := o.login("ann", "stolen")
				store.before = func(context.Context, call) error { time.Sleep(time.Millisecond); return nil }
				changes := o.hammer(tok)
				began := time.Now()
				s := o.load(tok)
				require.NoError(t, move(o, s))
				increment(t, s)
				change, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
				took := time.Since(began)
				store.end(t, tok.ID.Key()) // for who changes it, if it lives
				n := <-changes
				require.NoError(t, err, fmt.Sprint("after ", took))
				require.Less(t, took, time.Second)
				store.before = nil
				require.Equal(t, 1, store.Len())
				requireCount(t, o.m, change.Token, n+1)
				list, err := o.m.Sessions(t.Context(), s.Owner())
				require.NoError(t, err)
				require.Len(t, list, 1)
			})
		})
	}
}

// What must give a new ID up finds out while the old one is still good, where that can be
// known; where not, nothing lives under either.
func TestARegenerationThatFailsInConstantUse(t *testing.T) {
	const conflicts = 8
	for what, c := range map[string]struct {
		last func(*testing.T, *store, *sessions.Session)
		err  error
		live int
	}{
		"no decoding": {func(t *testing.T, _ *store, s *sessions.Session) {
			require.NoError(t, sessions.Key[string](count).Set(s, "no number"))
		}, sessions.ErrDecode, 1},
		"no answer": {func(t *testing.T, st *store, s *sessions.Session) {
			st.before = down(errOutage, "save") // what follows "moved" is the new record
		}, stores.ErrUnavailable, 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				tok := o.login("ann", "")
				moves := 0
				store.before = func(_ context.Context, one call) error {
					if one.op != "move" {
						return nil
					}
					if moves++; moves > conflicts {
						return nil
					}
					before := store.before
					store.before = nil
					s := o.elsewhere.load(tok)
					increment(t, s)
					if moves == conflicts {
						c.last(t, store, s)
					}
					again := store.before
					store.before = nil
					_, err := o.elsewhere.m.Commit(t.Context(), s, sessions.BeforeResponse)
					require.NoError(t, err)
					if store.before = before; again != nil {
						store.before = again
					}
					return nil
				}
				s := o.load(tok)
				increment(t, s)
				require.NoError(t, s.Regenerate())
				change, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
				store.before = nil
				require.ErrorIs(t, err, c.err)
				require.Equal(t, sessions.Keep, change.Action)
				require.Equal(t, c.live, store.Len())
				list, err := o.m.Sessions(t.Context(), "ann")
				require.NoError(t, err)
				require.Len(t, list, c.live)
			})
		})
	}
}

// One that can't be ended, since a commit of it hangs, keeps no other alive. It stays on
// the list, to be ended by the next attempt.
func TestRevokeAllGoesOnAfterABusySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, nil)
		hangs := o.login("ann", "hangs")
		others := []token.Token{o.login("ann", "phone"), o.login("ann", "tablet")}
		s := o.load(hangs)
		increment(t, s)
		store.before = on("save", 1, func() error { time.Sleep(8 * time.Second); return nil })
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		}()
		synctest.Wait()
		n, err := o.m.RevokeAll(t.Context(), "ann")
		require.ErrorIs(t, err, sessions.ErrBusy)
		require.Equal(t, 2, n)
		for _, tok := range others {
			o.dead(tok)
		}
		<-done
		require.Equal(t, "hangs", o.labels("ann"))
		n, err = o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		o.dead(hangs)
	})
}
