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
	"github.com/bulla-go/bulla/stores"
)

// unsealed is for many rounds.
func unsealed(c *sessions.Config) { c.Encryptor = nil }

// keepOnly ends all others of the session that tok names.
func (o *ownersOf) keepOnly(tok stores.Token) error {
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
func (o *ownersOf) changeID(tok stores.Token) (stores.Token, error) {
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

// RevokeOthers removes the entry of the ID that the kept session is about to have.
func TestRevokeOthersInTheMiddleOfARegeneration(t *testing.T) {
	for _, moment := range []string{"entry", "save", "delete"} {
		t.Run(moment, func(t *testing.T) {
			store := &pausing{Store: newMemory(t), before: func(string) {}}
			o := newOwnersOf(t, store, nil)
			tok := o.login("ann", "mine")
			store.before = func(what string) {
				if what == moment {
					store.before = func(string) {}
					require.NoError(t, o.keepOnly(tok))
				}
			}
			moved, err := o.changeID(tok)
			if moment == "delete" { // its record was on the list, and is gone
				require.ErrorIs(t, err, sessions.ErrEnded)
				moved = tok
			} else {
				require.NoError(t, err)
				o.dead(tok)
			}
			o.load(moved)
			require.Equal(t, "mine", o.labels("ann"))
			moved, err = o.changeID(moved)
			require.NoError(t, err, "it knows the new epoch")
			o.load(moved)
			o.listed(store.Len)
		})
	}
}

func TestRevokeOthersRacesRegenerations(t *testing.T) {
	const rounds, workers = 20_000, 16
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			o := newOwnersOf(t, newMemory(t), unsealed)
			for i := range rounds / workers {
				user := fmt.Sprint(i)
				s := o.m.New()
				err := s.SetOwner(context.Background(), user)
				change, commitErr := o.m.Commit(context.Background(), s, sessions.BeforeResponse)
				if err != nil || commitErr != nil {
					t.Error(err, commitErr)
					return
				}
				tok := change.Token
				moved := tok
				var both sync.WaitGroup
				both.Go(func() { o.keepOnly(tok) })
				both.Go(func() { moved, _ = o.changeID(tok) })
				both.Wait()
				if _, err := o.m.RevokeAll(context.Background(), user); err != nil {
					t.Error(err)
				}
				for _, tok := range []stores.Token{tok, moved} {
					if _, err := o.m.Load(context.Background(), tok); err == nil {
						t.Errorf("round %d: a session survives RevokeAll", i)
						return
					}
				}
			}
			if n := o.store.(interface{ Len() int }).Len(); n != 0 {
				t.Errorf("%d records are left", n)
			}
		})
	}
	running.Wait()
}

// The process died after it had begun a new epoch. Who called RevokeAll knows that
// it failed; what is left must not stay for ever under an ID that it can't change.
func TestWhatABrokenRevokeAllLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{newMemory(t), false}
		o := newOwnersOf(t, store, nil)
		tok, unused := o.login("ann", "used"), o.login("ann", "unused")
		store.now = true
		_, err := o.m.RevokeAll(t.Context(), "ann")
		require.ErrorIs(t, err, stores.ErrUnavailable)
		store.now = false

		_, err = o.changeID(tok)
		require.ErrorIs(t, err, sessions.ErrEnded)
		o.dead(tok)
		require.Equal(t, "unused", o.labels("ann"))

		// Who proves again who they are goes on.
		s := o.load(unused)
		require.NoError(t, s.SetOwner(t.Context(), "ann"))
		change, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.NoError(t, err)
		moved, err := o.changeID(change.Token)
		require.NoError(t, err)
		o.load(moved)
		o.listed(store.Len)
	})
}

// A session that RevokeOthers keeps does not know of the new epoch before its
// request commits. Another that changes its ID meanwhile waits for that.
func TestRegenerateWaitsForRevokeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newMemory(t), nil)
		tok := o.login("ann", "mine")
		keeper := o.load(tok)
		_, err := o.m.RevokeOthers(t.Context(), keeper)
		require.NoError(t, err)
		var moved stores.Token
		var changing sync.WaitGroup
		changing.Go(func() { moved, err = o.changeID(tok) })
		time.Sleep(500 * time.Millisecond)
		_, commitErr := o.m.Commit(t.Context(), keeper, sessions.BeforeResponse)
		require.NoError(t, commitErr)
		changing.Wait()
		require.NoError(t, err)
		o.dead(tok)
		require.Equal(t, "mine", o.labels("ann"))
		o.load(moved)
	})
}

// Whenever a session's ID changes in the middle of a logout or a Revoke, or the
// other way round, the session of an owner has ended when that says so.
func TestEndsCrossRegenerations(t *testing.T) {
	moments := []string{"entry", "save", "delete", "entries", "remove"}
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
			for what, swapped := range map[string]bool{"end in the middle": false, "regeneration in the middle": true} {
				t.Run(fmt.Sprint(name, " ", moment, " ", what), func(t *testing.T) {
					store := &pausing{Store: newMemory(t), before: func(string) {}}
					o := newOwnersOf(t, store, nil)
					other := o.login("ann", "other")
					tok := o.login("ann", "phone")
					s := o.load(tok)
					var endErr, moveErr error
					ending := func() { endErr = end(o, s) }
					moving := func() { _, moveErr = o.changeID(tok) }
					outer, inner := moving, ending
					if swapped {
						outer, inner = ending, moving
					}
					met := false
					store.before = func(at string) {
						if at == moment {
							store.before = func(string) {}
							met = true
							inner()
						}
					}
					outer()
					store.before = func(string) {}
					if !met { // that one has no such moment
						inner()
					}
					require.NoError(t, endErr)
					if _, rejected := errors.AsType[*sessions.RejectedError](moveErr); !rejected && moveErr != nil {
						require.ErrorIs(t, moveErr, sessions.ErrEnded)
					}
					require.Equal(t, "other", o.labels("ann"))
					require.Equal(t, 1, store.Len())
					o.load(other)
				})
			}
		}
	}
}

// A page still shows the handle that the session had before its ID was changed.
func TestRevokeWithAnOldHandle(t *testing.T) {
	o := newOwnersOf(t, newMemory(t), nil)
	tok := o.login("ann", "phone")
	handle := o.load(tok).Handle()
	moved, err := o.changeID(tok)
	require.NoError(t, err)
	// Whatever is written to it, its entry knows the old one.
	s := o.load(moved)
	require.NoError(t, s.SetLabel("tablet"))
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	require.ErrorIs(t, o.m.Revoke(t.Context(), "bob", handle), stores.ErrNotFound)
	require.NoError(t, o.m.Revoke(t.Context(), "ann", handle))
	o.dead(moved)
	require.ErrorIs(t, o.m.Revoke(t.Context(), "ann", handle), stores.ErrNotFound)
}

func TestAnotherOwnerHasProvedNothing(t *testing.T) {
	o := newOwnersOf(t, newMemory(t), nil)
	s := o.load(o.login("ann", "ann's phone"))
	require.NoError(t, s.Authenticated(time.Now()))
	change, err := o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)

	// The same user stays proved.
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	require.True(t, s.AuthenticatedWithin(time.Minute))
	change, err = o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	require.Equal(t, "ann's phone", o.labels("ann"))

	s = o.load(change.Token)
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
	require.NoError(t, s.Authenticated(time.Now()))
	require.True(t, s.AuthenticatedWithin(time.Minute))
}

// What a user proves and is called before they become the owner is theirs.
func TestTheFirstOwnerKeepsWhatWasProved(t *testing.T) {
	o := newOwnersOf(t, newMemory(t), nil)
	s := o.m.New()
	require.NoError(t, s.Authenticated(time.Now()))
	require.NoError(t, s.SetLabel("phone"))
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	require.True(t, s.AuthenticatedWithin(time.Minute))
	require.Equal(t, "phone", o.labels("ann"))
}

// A load does no more for a session that has an owner: that the owners' keys were
// rotated shows without a hash.
func TestAnOwnerCostsALoadNothing(t *testing.T) {
	o := newOwnersOf(t, newMemory(t), nil)
	owned := o.login("ann", "")
	s := o.m.New()
	require.NoError(t, count.Set(s, 1))
	change, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	allocs := func(tok stores.Token) float64 {
		return testing.AllocsPerRun(200, func() {
			if _, err := o.m.Load(context.Background(), tok); err != nil {
				t.Error(err)
			}
		})
	}
	// One for the text of the owner; the other one has a value instead.
	require.LessOrEqual(t, allocs(owned), allocs(change.Token)+1)
}
