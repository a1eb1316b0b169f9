package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// unsealed is for many rounds.
func unsealed(c *sessions.Config) { c.Encryptor, c.WithoutEncryption = nil, true }

// keepOnly ends all others of the session that tok names.
func (o *ownersOf) keepOnly(tok token.Token) error {
	s, err := o.m.Load(context.Background(), tok)
	if err != nil {
		return err
	}
	if _, err = o.m.RevokeOthers(context.Background(), s); err == nil {
		_, err = o.m.Commit(context.Background(), s, sessions.BeforeResponse)
	}
	return err
}

// changeID gives the session that tok names a new ID.
func (o *ownersOf) changeID(tok token.Token) (token.Token, error) {
	s, err := o.m.Load(context.Background(), tok)
	if err == nil {
		err = s.Regenerate()
	}
	if err != nil {
		return tok, err
	}
	change, err := o.m.Commit(context.Background(), s, sessions.BeforeResponse)
	return change.Token, err
}

// listed requires that whatever lives is on the list, and ends with it.
func (o *ownersOf) listed(live func() int) {
	o.t.Helper()
	n := live()
	list, err := o.m.Sessions(o.t.Context(), "ann")
	require.NoError(o.t, err)
	require.Len(o.t, list, n, "a session lives that is not listed")
	ended, err := o.m.RevokeAll(o.t.Context(), "ann")
	require.NoError(o.t, err)
	require.Equal(o.t, n, ended)
	require.Zero(o.t, live(), "a session survives RevokeAll")
}

// RevokeOthers ends nothing of the session that it keeps, under whatever ID that is
// just going on.
func TestRevokeOthersInTheMiddleOfARegeneration(t *testing.T) {
	for _, moment := range []string{"add", "save", "move", "remove"} {
		for _, times := range []int{1, 2, 3} {
			t.Run(fmt.Sprint(moment, " ", times), func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				other := o.elsewhere
				tok := o.login("ann", "mine")
				theirs := o.login("ann", "theirs")
				store.before = on(moment, 1, func() error {
					store.before = nil
					for range times {
						if err := other.keepOnly(tok); moment == "remove" { // it has moved already
							requireRejectedError(t, err)
						} else {
							require.NoError(t, err)
						}
					}
					return nil
				})
				moved, err := o.changeID(tok)
				require.NoError(t, err)
				o.dead(tok)
				o.load(moved)
				if moment == "remove" {
					require.NoError(t, o.keepOnly(moved))
				}
				o.dead(theirs)
				require.Equal(t, "mine", o.labels("ann"))
				moved, err = o.changeID(moved)
				require.NoError(t, err, "it knows the new epoch")
				o.load(moved)
				o.listed(store.Len)
			})
		}
	}
}

func requireRejectedError(t *testing.T, err error) {
	t.Helper()
	var rejected *sessions.RejectedError
	require.ErrorAs(t, err, &rejected)
}

// Whatever becomes of the requests in which RevokeOthers has returned, the session
// that it keeps goes on when its ID changes.
func TestRegenerateAfterRevokeOthersThatWasNotCommitted(t *testing.T) {
	for _, times := range []int{1, 2, 3} {
		for _, what := range []string{"never committed", "not yet committed", "loaded before"} {
			t.Run(fmt.Sprint(times, " ", what), func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				other := o.elsewhere
				tok, theirs := o.login("ann", "mine"), o.login("ann", "theirs")
				moving := o.load(tok)
				var keepers []*sessions.Session
				for range times {
					s := other.load(tok)
					_, err := other.m.RevokeOthers(t.Context(), s)
					require.NoError(t, err)
					keepers = append(keepers, s)
				}
				switch what {
				case "never committed": // their handlers panicked
					keepers = nil
					fallthrough
				case "not yet committed":
					moving = o.load(tok)
				}
				require.NoError(t, moving.Regenerate())
				moved := commit(t, o.m, moving).Token
				for _, s := range keepers {
					change, err := other.m.Commit(t.Context(), s, sessions.BeforeResponse)
					require.ErrorIs(t, err, sessions.ErrEnded, "it has another ID by now")
					require.Equal(t, sessions.Change{}, change)
				}
				o.dead(theirs)
				o.dead(tok)
				moved, err := other.changeID(moved)
				require.NoError(t, err)
				require.Equal(t, "mine", o.labels("ann"))
				o.load(moved)
				o.listed(store.Len)
			})
		}
	}
}

// What was kept once is not kept for good: an end of all between two that kept a
// session ends it, also where that broke off before it came to it.
func TestAnEndOfAllBetweenTwoRevokeOthers(t *testing.T) {
	for what, between := range map[string]func(o *ownersOf, mine, theirs token.Token) error{
		"all": func(o *ownersOf, _, _ token.Token) error {
			_, err := o.m.RevokeAll(context.Background(), "ann")
			return err
		},
		"all but another": func(o *ownersOf, _, theirs token.Token) error { return o.keepOnly(theirs) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				mine := o.login("ann", "mine")
				moving, first, second := o.load(mine), o.load(mine), o.load(mine)
				_, err := o.m.RevokeOthers(t.Context(), first)
				require.NoError(t, err)
				theirs := o.login("ann", "theirs")
				store.before = down(errOutage, "end")
				require.ErrorIs(t, between(o, mine, theirs), stores.ErrUnavailable)
				store.before = nil
				_, err = o.m.RevokeOthers(t.Context(), second)
				require.NoError(t, err)

				require.NoError(t, moving.Regenerate())
				_, err = o.m.Commit(t.Context(), moving, sessions.BeforeResponse)
				require.ErrorIs(t, err, sessions.ErrEnded)
				o.dead(mine)
			})
		})
	}
}

// The same where it comes while the second one is just noting what it keeps.
func TestAnEndOfAllWithinRevokeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, nil)
		mine := o.login("ann", "mine")
		moving, first, second := o.load(mine), o.load(mine), o.load(mine)
		_, err := o.m.RevokeOthers(t.Context(), first)
		require.NoError(t, err)
		met := false
		store.before = func(_ context.Context, c call) error {
			if isEpoch(c.rec.Data) {
				store.before = down(errOutage, "end")
				_, err := o.elsewhere.m.RevokeAll(t.Context(), "ann")
				require.ErrorIs(t, err, stores.ErrUnavailable)
				store.before, met = nil, true
			}
			return nil
		}
		_, err = o.m.RevokeOthers(t.Context(), second)
		require.NoError(t, err)
		require.True(t, met)

		require.NoError(t, moving.Regenerate())
		_, err = o.m.Commit(t.Context(), moving, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
		o.dead(mine)
	})
}

// A session that is kept by one request while another changes its ID goes on under
// one ID, in whatever order they come, and ends with all others.
func TestRevokeOthersRacesRegenerations(t *testing.T) {
	const workers, each = 16, 125 // rounds on one store
	rounds := many(1_000, 20_000)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for first := w * each; first < rounds; first += workers * each {
				store := newStore(t)
				o := newOwnersOf(t, store, unsealed)
				for i := range each {
					p := o
					if i%2 == 0 { // on one queue, and without
						p = o.elsewhere
					}
					if err := keepAndChange(o, p, fmt.Sprint(i)); err != nil {
						t.Errorf("round %d: %v", first+i, err)
						return
					}
				}
				if n := store.Len(); n != 0 {
					t.Errorf("%d records are left", n)
				}
			}
		})
	}
	running.Wait()
}

func keepAndChange(o, other *ownersOf, user string) error {
	ctx := context.Background()
	s := o.m.New()
	err := s.SetOwner(ctx, user)
	change, commitErr := o.m.Commit(ctx, s, sessions.BeforeResponse)
	if err != nil || commitErr != nil {
		return fmt.Errorf("login: %w", errors.Join(err, commitErr))
	}
	tok := change.Token
	var moved token.Token
	var keepErr, moveErr error
	var both sync.WaitGroup
	both.Go(func() { keepErr = other.keepOnly(tok) })
	both.Go(func() { moved, moveErr = o.changeID(tok) })
	both.Wait()
	if moveErr != nil {
		return fmt.Errorf("the kept session was ended: %w", moveErr)
	}
	var rejected *sessions.RejectedError
	if keepErr != nil && !errors.Is(keepErr, sessions.ErrEnded) && !errors.As(keepErr, &rejected) {
		return fmt.Errorf("RevokeOthers: %w", keepErr)
	}
	if _, err := o.m.Load(ctx, tok); !errors.As(err, &rejected) {
		return fmt.Errorf("the old ID: %v", err)
	}
	again, err := o.changeID(moved)
	if err != nil {
		return fmt.Errorf("the next ID: %w", err)
	}
	if n, err := o.m.RevokeAll(ctx, user); n != 1 || err != nil {
		return fmt.Errorf("RevokeAll found %d: %v", n, err)
	}
	for _, tok := range []token.Token{tok, moved, again} {
		if _, err := o.m.Load(ctx, tok); !errors.As(err, &rejected) {
			return fmt.Errorf("a session survives RevokeAll: %v", err)
		}
	}
	return nil
}

// The process died after it had begun a new epoch. Who called RevokeAll knows that
// it failed; what is left must not stay for ever under an ID that it can't change.
func TestWhatABrokenRevokeAllLeaves(t *testing.T) {
	for _, moment := range []string{"list", "end"} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, nil)
			tok, unused := o.login("ann", "used"), o.login("ann", "unused")
			store.before = down(errOutage, moment)
			_, err := o.m.RevokeAll(t.Context(), "ann")
			require.ErrorIs(t, err, stores.ErrUnavailable)
			store.before = nil

			_, err = o.changeID(tok)
			require.ErrorIs(t, err, sessions.ErrEnded)
			o.dead(tok)
			require.Equal(t, "unused", o.labels("ann"))

			// Who proves again who they are goes on.
			s := o.load(unused)
			require.NoError(t, s.SetOwner(t.Context(), "ann"))
			moved, err := o.changeID(commit(t, o.m, s).Token)
			require.NoError(t, err)
			o.load(moved)
			o.listed(store.Len)
		})
	}
}

// Whenever a session's ID changes in the middle of a logout or a Revoke, or the
// other way round, the session of an owner has ended when that says so; also when
// it changes twice.
func TestEndsCrossRegenerations(t *testing.T) {
	moments := []string{"add", "save", "load", "move", "end", "put", "list", "remove"}
	ends := map[string]func(*ownersOf, *sessions.Session) error{
		"Destroy": func(o *ownersOf, s *sessions.Session) error {
			s.Destroy()
			_, err := o.m.Commit(context.Background(), s, sessions.BeforeResponse)
			return err
		},
		"Revoke": func(o *ownersOf, s *sessions.Session) error {
			return o.m.Revoke(context.Background(), s.Owner(), s.Handle())
		},
	}
	for name, end := range ends {
		for _, moment := range moments {
			for nth := range int32(3) {
				for _, regenerations := range []int{1, 2} {
					for what, swapped := range map[string]bool{"end in the middle": false, "regeneration in the middle": true} {
						t.Run(fmt.Sprint(name, " ", moment, nth, " ", regenerations, " ", what), func(t *testing.T) {
							endCrosses(t, end, moment, nth+1, regenerations, swapped)
						})
					}
				}
			}
		}
	}
}

func endCrosses(t *testing.T, end func(*ownersOf, *sessions.Session) error, moment string, nth int32, regenerations int, swapped bool) {
	store := newStore(t)
	o := newOwnersOf(t, store, nil)
	other := o.login("ann", "other")
	tok := o.login("ann", "phone")
	s := o.load(tok)
	var endErr, moveErr error
	ending := func() { endErr = end(o, s) }
	last := tok
	moving := func() {
		for range regenerations {
			var moved token.Token
			if moved, moveErr = o.elsewhere.changeID(last); moveErr != nil {
				return
			}
			last = moved
		}
	}
	outer, inner := moving, ending
	if swapped {
		outer, inner = ending, moving
	}
	met := false
	store.before = on(moment, nth, func() error {
		store.before = nil
		met = true
		inner()
		return nil
	})
	outer()
	store.before = nil
	if !met { // that one has no such moment
		inner()
	}
	require.NoError(t, endErr)
	var rejected *sessions.RejectedError
	if moveErr != nil && !errors.As(moveErr, &rejected) {
		require.ErrorIs(t, moveErr, sessions.ErrEnded)
	}
	o.dead(tok)
	o.dead(last)
	require.Equal(t, "other", o.labels("ann"))
	require.Equal(t, 1, store.Len())
	o.load(other)
}

// A page still shows the handle that the session had before its ID was changed.
func TestRevokeWithAnOldHandle(t *testing.T) {
	for _, regenerations := range []int{1, 3} {
		o := newOwnersOf(t, newStore(t), nil)
		tok := o.login("ann", "phone")
		handle, moved := o.load(tok).Handle(), tok
		for range regenerations {
			var err error
			moved, err = o.changeID(moved)
			require.NoError(t, err)
			// Whatever is written to it, its entry knows the old one.
			s := o.load(moved)
			require.NoError(t, s.SetLabel(fmt.Sprint("tablet ", moved.ID.Key())))
			commit(t, o.m, s)
		}
		require.ErrorIs(t, o.m.Revoke(t.Context(), "bob", handle), stores.ErrNotFound)
		o.load(moved)
		require.NoError(t, o.m.Revoke(t.Context(), "ann", handle))
		o.dead(moved)
		require.ErrorIs(t, o.m.Revoke(t.Context(), "ann", handle), stores.ErrNotFound)
	}
}

// An old handle is good for as long as its stub is.
func TestAnOldHandleAfterItsStub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), nil)
		tok := o.login("ann", "phone")
		handle := o.load(tok).Handle()
		moved, err := o.changeID(tok)
		require.NoError(t, err)
		time.Sleep(30 * time.Minute)
		moved, err = o.changeID(moved)
		require.NoError(t, err)
		require.ErrorIs(t, o.m.Revoke(t.Context(), "ann", handle), stores.ErrNotFound)
		o.load(moved)
	})
}

func TestAnotherOwnerHasProvedNothing(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	s := o.load(o.login("ann", "ann's phone"))
	require.NoError(t, s.SetAuthenticated(time.Now()))
	_, err := o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)

	// The same user stays proved.
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	require.True(t, s.AuthenticatedWithin(time.Minute))
	change, err := o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	require.Equal(t, "ann's phone", o.labels("ann"))

	s = o.load(change.Token)
	require.True(t, s.AuthenticatedWithin(time.Minute))
	require.NoError(t, s.SetOwner(t.Context(), "bob"))
	require.False(t, s.AuthenticatedWithin(time.Hour))
	change, err = o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	s = o.load(change.Token)
	require.Equal(t, "bob", s.Owner())
	require.False(t, s.AuthenticatedWithin(time.Hour))
	require.Zero(t, s.Metadata().Authenticated)
	require.Empty(t, o.labels("bob"))
	require.Empty(t, o.labels("ann"))
	require.NoError(t, s.SetAuthenticated(time.Now()))
	require.True(t, s.AuthenticatedWithin(time.Minute))
}

// What a user proves and is called before they become the owner is theirs.
func TestTheFirstOwnerKeepsWhatWasProved(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	s := o.m.New()
	require.NoError(t, s.SetAuthenticated(time.Now()))
	require.NoError(t, s.SetLabel("phone"))
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	s = o.load(commit(t, o.m, s).Token)
	require.True(t, s.AuthenticatedWithin(time.Minute))
	require.Equal(t, "phone", o.labels("ann"))
}

// A load does no more for a session that has an owner: that the owners' keys were
// rotated shows without a hash.
func TestAnOwnerCostsALoadNothing(t *testing.T) {
	// Unsealed: the race detector lets a pool of the encryptor forget at random.
	o := newOwnersOf(t, newStore(t), func(c *sessions.Config) { c.Encryptor, c.WithoutEncryption = nil, true })
	owned := o.login("ann", "")
	s := o.m.New()
	require.NoError(t, count.Set(s, 1))
	plain := commit(t, o.m, s).Token
	allocs := func(tok token.Token) float64 {
		return testing.AllocsPerRun(200, func() {
			if _, err := o.m.Load(context.Background(), tok); err != nil {
				t.Error(err)
			}
		})
	}
	// One for the text of the owner; the other one has a value instead.
	// The race detector makes pools forget, so that the numbers differ by one.
	least, most := allocs(owned), allocs(plain)
	for range 5 {
		least, most = min(least, allocs(owned)), max(most, allocs(plain))
	}
	require.LessOrEqual(t, least, most+1)
}

// The reply to the write of an epoch is lost; before it is read again another one has
// begun, and the first write comes once more, late. The epoch does not come back:
// logins that took note of it would survive the second end.
func TestLostEpochDoesNotComeBack(t *testing.T) {
	for what, end := range map[string]func(*ownersOf, token.Token) error{
		"RevokeAll": func(o *ownersOf, _ token.Token) error {
			_, err := o.m.RevokeAll(context.Background(), "ann")
			return err
		},
		"RevokeOthers": (*ownersOf).keepOnly,
	} {
		for _, second := range []string{"RevokeAll", "RevokeOthers"} {
			t.Run(what+" and "+second, func(t *testing.T) {
				store := newStore(t)
				o := newOwnersOf(t, store, nil)
				tok, theirs := o.login("ann", "mine"), o.login("ann", "theirs")
				between := o.m.New()
				var first call
				store.after = func(_ context.Context, c call) error {
					if !isEpoch(c.rec.Data) {
						return nil
					}
					store.after = nil
					first = c
					require.NoError(t, between.SetOwner(t.Context(), "ann"))
					if second == "RevokeAll" {
						_, err := o.elsewhere.m.RevokeAll(t.Context(), "ann")
						require.NoError(t, err)
					} else {
						require.NoError(t, o.elsewhere.keepOnly(theirs))
					}
					return errOutage
				}
				err := end(o, tok)
				if what == "RevokeOthers" { // the second has ended it
					require.ErrorIs(t, err, sessions.ErrEnded)
				} else {
					require.NoError(t, err)
				}
				require.NotEmpty(t, first.op)
				_, err = store.Store.Save(t.Context(), first.key, first.rec)
				require.ErrorIs(t, err, stores.ErrConflict)

				_, err = o.m.Commit(t.Context(), between, sessions.BeforeResponse)
				require.ErrorIs(t, err, sessions.ErrEnded)
				require.Empty(t, o.labels("ann"))
				require.Zero(t, store.Len())
				o.login("ann", "later")
				require.Equal(t, "later", o.labels("ann"))
			})
		}
	}
}
