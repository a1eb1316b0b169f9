package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestRevokeEverything(t *testing.T) {
	fleets(t, func(f *fleet) {
		ada := f.login(0, "", "ada")
		visitor := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		f.everywhere(ada, "ada")
		f.everywhere(visitor, "visitor")
		stale := f.start(8)
		require.NoError(f.t, f.all[1].Manager().RevokeEverything(f.t.Context()))
		f.lives(1, ada, "")
		f.lives(0, ada, "ada")

		// Nobody escapes by a new ID or a login at a process that has not read the list.
		for _, cookie := range []string{ada, visitor} {
			if a := f.do(stale, cookie, renew); a.cookie != "" {
				defer f.everywhere(a.cookie, "")
			}
			stale++
			for _, name := range []string{"ada", "mallory"} {
				a := f.do(stale, cookie, logIn(name))
				f.ended(a)
				require.ErrorIs(f.t, a.err, sessions.ErrEnded)
				stale++
			}
		}
		f.everywhere(ada, "")
		f.everywhere(visitor, "")
		f.everywhere(f.login(0, "", "ada"), "ada")
	})
}

// On a server nothing is listed but everybody's number.
func TestRevokeEverythingOnAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store, err := memstore.New()
		require.NoError(t, err)
		list := newListed(t)
		f := &fleet{t: t, ctx: ctx, store: func() stores.Store { return store }, list: list, every: every, opts: []middleware.Option{middleware.WithOwners(encrypt.GenerateKey()), quiet}}
		f.start(3)
		ada, grace := f.login(0, "", "ada"), f.login(1, "", "grace")
		visitor := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		out := f.login(0, "", "out")
		swaps := list.swaps.Load()
		f.do(0, out, logOut)
		ada = f.do(0, ada, renew).cookie
		_, err = f.all[0].Manager().RevokeAll(ctx, "grace")
		require.NoError(t, err)
		require.Equal(t, swaps, list.swaps.Load())
		f.lives(1, out, "")
		f.lives(1, grace, "")
		n, err := f.all[0].Manager().Sessions(ctx, "ada")
		require.NoError(t, err)
		require.Len(t, n, 1)

		require.NoError(t, f.all[0].Manager().RevokeEverything(ctx))
		f.lives(0, ada, "")
		f.lives(1, ada, "ada")
		a := f.do(1, ada, func(r *http.Request, s *sessions.Session) error { return sessions.Commit(r.Context()) })
		require.ErrorIs(t, a.err, sessions.ErrRevoked)
		require.ErrorIs(t, f.do(2, ada, logIn("ada")).err, sessions.ErrRevoked)
		f.everywhere(ada, "")
		f.everywhere(visitor, "")
		f.everywhere(f.login(1, "", "ada"), "ada")
		cancel()
		synctest.Wait()
	})
}

// The record of a session that ended with everybody's stays on the server. It keeps nobody
// from logging in again, and is on no list.
func TestRevokeEverythingMakesRoom(t *testing.T) {
	for _, over := range []sessions.Overflow{sessions.RefuseNew, sessions.EndOldest} {
		synctest.Test(t, func(t *testing.T) {
			store, err := memstore.New()
			require.NoError(t, err)
			mw, err := middleware.New(store, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(2, over), quiet,
				middleware.WithRevocation(t.Context(), newListed(t), every))
			require.NoError(t, err)
			f := &fleet{t: t, all: []*middleware.Middleware{mw}, every: every}
			synctest.Wait()
			f.login(0, "", "ada")
			f.login(0, "", "ada")
			require.NoError(t, mw.Manager().RevokeEverything(t.Context()))
			list, err := mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Empty(t, list)
			own, other := f.login(0, "", "ada"), f.login(0, "", "ada")
			f.lives(0, own, "ada")
			f.lives(0, other, "ada")
			list, err = mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, list, 2)
			third := map[sessions.Overflow]int{sessions.RefuseNew: http.StatusForbidden, sessions.EndOldest: http.StatusOK}
			require.Equal(t, third[over], f.do(0, "", logIn("ada")).status)
			n, err := mw.Manager().RevokeAll(t.Context(), "ada")
			require.NoError(t, err)
			require.Equal(t, 4, n, "those that had ended, too")
		})
	}
}
