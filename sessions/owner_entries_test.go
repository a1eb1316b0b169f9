package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// When a session was last seen follows from the idle time that holds for it.
func TestLastSeenOfALimitedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), func(c *sessions.Config) { c.Rolling, c.Lifetime = 24*time.Hour, 48*time.Hour })
		limited := func(limit func(*sessions.Session) error) time.Time {
			s := o.m.New()
			require.NoError(t, s.SetOwner(t.Context(), "ann"))
			c := commit(t, o.m, s)
			time.Sleep(time.Minute)
			s = o.load(c.Token)
			require.NoError(t, limit(s))
			commit(t, o.m, s)
			list, err := o.m.Sessions(t.Context(), "ann")
			require.NoError(t, err)
			require.Len(t, list, 1)
			s.Destroy()
			commit(t, o.m, s)
			return list[0].LastSeen
		}
		for what, limit := range map[string]func(*sessions.Session) error{
			"none":     func(s *sessions.Session) error { return s.SetLabel("x") },
			"idle":     func(s *sessions.Session) error { return s.Limit(0, 10*time.Minute) },
			"both":     func(s *sessions.Session) error { return s.Limit(time.Hour, 10*time.Minute) },
			"lifetime": func(s *sessions.Session) error { return s.Limit(25*time.Hour, 0) },
		} {
			require.WithinDuration(t, time.Now().Add(time.Minute), limited(limit), 5*time.Minute, what)
		}
		require.Zero(t, limited(func(s *sessions.Session) error { return s.Limit(time.Hour, 0) }), "the deadline hides it")
	})
}

// A record does not grow with each change of the ID, and the last handles before are
// still good.
func TestManyRegenerations(t *testing.T) {
	store := newStore(t)
	size := 0
	store.before = func(_ context.Context, c call) error {
		if c.op == "save" {
			size = len(c.rec.Data)
		}
		return nil
	}
	o := newOwnersOf(t, store, nil)
	tok := o.login("ann", "phone")
	var handles []sessions.Handle
	for range 100 {
		s := o.load(tok)
		handles = append(handles, s.Handle())
		require.NoError(t, s.Regenerate())
		tok = commit(t, o.m, s).Token
	}
	require.Less(t, size, 1200)
	require.ErrorIs(t, o.m.Revoke(t.Context(), "ann", handles[50]), stores.ErrNotFound)
	require.NoError(t, o.m.Revoke(t.Context(), "ann", handles[90]))
	o.dead(tok)
}

// Who logs in again is the same session, also while it has two IDs.
func TestALoginAgainIsOneSession(t *testing.T) {
	store := newStore(t)
	o := newOwnersOf(t, store, nil)
	tok := o.login("ann", "phone")
	s := o.load(tok)
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	store.before = on("move", 1, func() error {
		list, err := o.m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, o.load(tok).Handle(), list[0].Handle, "the ID that the client has yet")
		other := o.load(tok)
		_, err = o.m.RevokeOthers(t.Context(), other)
		require.NoError(t, err)
		return nil
	})
	again := commit(t, o.m, s).Token
	o.dead(tok)
	require.Equal(t, "ann", o.load(again).Owner())
}

// A session that has ended, and is on the list yet, takes nobody's place.
func TestAnEndedSessionHoldsNoPlace(t *testing.T) {
	store := newStore(t)
	o := newOwnersOf(t, store, func(c *sessions.Config) { c.MaxSessionsPerOwner = 1 })
	tok := o.login("ann", "phone")
	store.end(t, tok.ID.Key())
	o.login("ann", "tablet")
	require.Equal(t, "tablet", o.labels("ann"))
}

// Who logs in with another's session takes it away from that one's list, whatever comes
// between.
func TestAnotherUserTakesTheSession(t *testing.T) {
	take := func(o *ownersOf, tok token.Token) token.Token {
		s := o.load(tok)
		require.NoError(t, s.SetOwner(o.t.Context(), "bob"))
		return commit(o.t, o.m, s).Token
	}
	t.Run("the entry stayed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, nil)
			tok := o.login("ann", "phone")
			store.before = down(errOutage, "remove")
			tok = take(o, tok)
			store.before = nil
			require.Empty(t, o.labels("ann"))
			n, err := o.m.RevokeAll(t.Context(), "ann")
			require.NoError(t, err)
			require.Zero(t, n)
			o.load(tok)
		})
	})
	t.Run("while the list is read", func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, nil)
		tok := o.login("ann", "phone")
		loads := 0
		store.after = func(_ context.Context, c call) error {
			if c.op == "load" && c.key == tok.ID.Key() {
				if loads++; loads == 1 {
					old := tok
					store.after = nil
					tok = take(o, old)
				}
			}
			return nil
		}
		_, err := o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, "bob", o.load(tok).Owner())
	})
}

// A login under way can't be revoked, and nobody is told that it was.
func TestRevokeALoginUnderWay(t *testing.T) {
	store := newStore(t)
	o := newOwnersOf(t, store, nil)
	s := o.m.New()
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	store.before = on("save", 1, func() error {
		require.ErrorIs(t, o.m.Revoke(t.Context(), "ann", s.Handle()), stores.ErrNotFound)
		return nil
	})
	commit(t, o.m, s)
	require.NoError(t, o.m.Revoke(t.Context(), "ann", s.Handle()))
}
