package sessions_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// ownersOf is a manager whose sessions have owners.
type ownersOf struct {
	t     *testing.T
	m     *sessions.Manager
	store stores.Store

	elsewhere *ownersOf // the same, in another process
}

func newOwnersOf(t *testing.T, store stores.Store, change func(*sessions.Config)) *ownersOf {
	t.Helper()
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	c := sessions.Config{Encryptor: enc, Owners: []encrypt.Key{encrypt.GenerateKey()}, Rolling: time.Hour}
	if change != nil {
		change(&c)
	}
	m, err := sessions.NewManager(store, c)
	require.NoError(t, err)
	c.Hooks, c.Logger = sessions.Hooks{}, nil
	process, err := sessions.NewManager(store, c)
	require.NoError(t, err)
	return &ownersOf{t, m, store, &ownersOf{t, process, store, nil}}
}

// login returns the token of a new session of user.
func (o *ownersOf) login(user, label string) token.Token {
	o.t.Helper()
	s := o.m.New()
	require.NoError(o.t, s.SetOwner(o.t.Context(), user))
	require.NoError(o.t, s.SetLabel(label))
	change, err := o.m.Commit(o.t.Context(), s, sessions.BeforeResponse)
	require.NoError(o.t, err)
	require.Equal(o.t, sessions.Replace, change.Action)
	return change.Token
}

func (o *ownersOf) load(tok token.Token) *sessions.Session {
	o.t.Helper()
	s, err := o.m.Load(o.t.Context(), tok)
	require.NoError(o.t, err)
	return s
}

func (o *ownersOf) dead(tok token.Token) {
	o.t.Helper()
	_, err := o.m.Load(o.t.Context(), tok)
	var rejected *sessions.RejectedError
	require.ErrorAs(o.t, err, &rejected)
}

func (o *ownersOf) labels(user string) string {
	o.t.Helper()
	list, err := o.m.Sessions(o.t.Context(), user)
	require.NoError(o.t, err)
	var labels []string
	for _, s := range list {
		labels = append(labels, s.Label)
	}
	return strings.Join(labels, ",")
}

func TestAUsersSessionsAreListedAndEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), nil)
		ctx := t.Context()
		phone := o.login("ann", "phone")
		time.Sleep(time.Minute)
		laptop := o.login("ann", "laptop")
		other := o.login("bob", "bob's")
		require.Equal(t, "laptop,phone", o.labels("ann"))

		list, err := o.m.Sessions(ctx, "ann")
		require.NoError(t, err)
		require.Equal(t, o.load(laptop).Handle(), list[0].Handle)
		require.Equal(t, "ann", o.load(laptop).Owner())
		require.Equal(t, time.Minute, list[0].LoggedIn.Sub(list[1].LoggedIn))
		require.WithinDuration(t, time.Now().Add(-time.Minute), list[1].LastSeen, 0)

		// Nobody can end another's session, or one that is not there.
		require.ErrorIs(t, o.m.Revoke(ctx, "bob", list[0].Handle), stores.ErrNotFound)
		require.ErrorIs(t, o.m.Revoke(ctx, "ann", "nonsense"), stores.ErrNotFound)
		o.load(laptop)

		require.NoError(t, o.m.Revoke(ctx, "ann", list[1].Handle))
		o.dead(phone)
		require.Equal(t, "laptop", o.labels("ann"))

		// A session that lost its idle race leaves the list by itself.
		time.Sleep(time.Hour)
		require.Empty(t, o.labels("ann"))
		o.dead(other)
	})
}

func TestRegenerateAndLogoutKeepTheListRight(t *testing.T) {
	store := newStore(t)
	o := newOwnersOf(t, store, nil)
	tok := o.login("ann", "phone")

	s := o.load(tok)
	require.NoError(t, s.Regenerate())
	change, err := o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	o.dead(tok)
	require.Equal(t, "phone", o.labels("ann"))
	require.NoError(t, s.SetLabel("tablet"))
	_, err = o.m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	require.Equal(t, "tablet", o.labels("ann"))

	s = o.load(change.Token)
	s.Destroy()
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	require.Empty(t, o.labels("ann"))
	require.Zero(t, store.Len())
}

func TestRevokeOthersKeepsTheCurrentOne(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	mine, theirs := o.login("ann", "mine"), o.login("ann", "theirs")
	s := o.load(mine)
	n, err := o.m.RevokeOthers(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	o.dead(theirs)

	// It is of the new epoch: a later change of its ID does not end it.
	s = o.load(mine)
	require.NoError(t, s.Regenerate())
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	require.Equal(t, "mine", o.labels("ann"))
}

// The epoch has changed although the others are still there; the current session
// must know it all the same.
func TestRevokeOthersThatFailsLeavesTheCurrentOneWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		o := newOwnersOf(t, store, nil)
		mine := o.login("ann", "mine")
		o.login("ann", "theirs")
		s := o.load(mine)
		store.before = down(errOutage, "remove")
		_, err := o.m.RevokeOthers(t.Context(), s)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.NoError(t, err)

		store.before = nil
		s = o.load(mine)
		require.NoError(t, s.Regenerate())
		_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.NoError(t, err)
	})
}

// A request that changes the ID of the session that another one keeps, while it
// ends all others, does so on what that one left.
func TestRegenerateCrossesRevokeOthers(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	tok, other := o.login("ann", "mine"), o.login("ann", "other")
	slow, keeper := o.load(tok), o.load(tok)
	_, err := o.m.RevokeOthers(t.Context(), keeper)
	require.NoError(t, err)
	_, err = o.m.Commit(t.Context(), keeper, sessions.BeforeResponse)
	require.NoError(t, err)

	require.NoError(t, slow.Regenerate())
	change, err := o.m.Commit(t.Context(), slow, sessions.BeforeResponse)
	require.NoError(t, err)
	require.Equal(t, sessions.Replace, change.Action)
	o.dead(tok)
	o.dead(other)
	require.Equal(t, "mine", o.labels("ann"))
	s := o.load(change.Token)
	require.NoError(t, s.Regenerate())
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	require.Equal(t, "mine", o.labels("ann"))
}

func TestALoginInFlightDoesNotSurviveRevokeAll(t *testing.T) {
	for _, moment := range []string{"begun", "add", "save", "move"} {
		t.Run(moment, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, nil)
			s := o.m.New()
			require.NoError(t, sessions.Key[int]("n").Set(s, 1))
			change, err := o.m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)

			revoke := func() {
				store.before = nil
				_, err := o.m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
			}
			s = o.load(change.Token)
			require.NoError(t, s.SetOwner(t.Context(), "ann"))
			if moment == "begun" {
				revoke()
			}
			store.before = on(moment, 1, func() error { revoke(); return nil })
			anonymous := change.Token
			change, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.Empty(t, o.labels("ann"))
			if moment == "move" {
				// It was complete, so it is in the list and was ended with it.
				require.NoError(t, err)
				o.dead(change.Token)
				require.Zero(t, store.Len())
			} else {
				require.ErrorIs(t, err, sessions.ErrEnded)
				require.Equal(t, sessions.Keep, change.Action)
				require.Empty(t, o.load(anonymous).Owner())
				require.Equal(t, 1, store.Len(), "the session before the login is left, and nothing else")
			}

			o.login("ann", "later") // who logs in afterwards is in
			require.Equal(t, "later", o.labels("ann"))
		})
	}
}

func TestARegenerationInFlightDoesNotSurviveRevokeAll(t *testing.T) {
	for _, moment := range []string{"begun", "add", "save", "move"} {
		t.Run(moment, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, nil)
			s := o.load(o.login("ann", "phone"))
			revoke := func() {
				store.before = nil
				_, err := o.elsewhere.m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
			}
			require.NoError(t, s.Regenerate())
			if moment == "begun" {
				revoke()
			}
			store.before = on(moment, 1, func() error { revoke(); return nil })
			_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded)
			require.Empty(t, o.labels("ann"))
			require.Zero(t, store.Len())
		})
	}
}

func TestSixteenLoginsRaceRevokeAll(t *testing.T) {
	store := newStore(t)
	o := newOwnersOf(t, store, nil)
	for range 50 {
		var begun, done sync.WaitGroup
		release := make(chan struct{})
		for i := range 16 {
			begun.Add(1)
			done.Go(func() {
				s := o.m.New()
				err := s.SetOwner(t.Context(), "ann")
				_ = s.SetLabel(fmt.Sprint(i))
				begun.Done()
				if err != nil {
					t.Error(err)
				}
				<-release
				o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			})
		}
		begun.Wait()
		close(release)
		_, err := o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		done.Wait()
		require.Zero(t, store.Len(), "a login that began before survives")
		require.Empty(t, o.labels("ann"))
	}
}

func TestOwnerKeysRotate(t *testing.T) {
	store := newStore(t)
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	with := func(keys ...encrypt.Key) *ownersOf {
		return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, enc })
	}
	used, unused := with(a).login("ann", "used"), with(a).login("ann", "unused")
	both := with(b, a)
	both.login("ann", "new")
	require.ElementsMatch(t, []string{"used", "unused", "new"}, strings.Split(both.labels("ann"), ","))

	// A session that is written is filed under the new key, and stays listed when
	// the old one is gone.
	both.use(used, 1)
	require.ElementsMatch(t, []string{"used", "unused", "new"}, strings.Split(both.labels("ann"), ","))
	last := with(b)
	require.ElementsMatch(t, []string{"used", "new"}, strings.Split(last.labels("ann"), ","))

	n, err := both.m.RevokeAll(t.Context(), "ann")
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 3)
	both.dead(used)
	both.dead(unused)
	require.Zero(t, store.Len())
}

func TestOwnersOfAnotherApplicationAreOthers(t *testing.T) {
	store := newStore(t)
	keys := []encrypt.Key{encrypt.GenerateKey()}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	in := func(audience string) *ownersOf {
		return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor, c.Audience = keys, enc, audience })
	}
	tok := in("shop").login("ann", "phone")
	require.Empty(t, in("mail").labels("ann"))
	n, err := in("mail").m.RevokeAll(t.Context(), "ann")
	require.NoError(t, err)
	require.Zero(t, n)
	in("shop").load(tok)
}

func TestAZeroSessionDoesNotPanic(t *testing.T) {
	var s sessions.Session
	require.ErrorIs(t, sessions.Key[int]("n").Set(&s, 1), sessions.ErrNotLoaded)
	require.ErrorIs(t, s.SetOwner(t.Context(), "ann"), sessions.ErrNotLoaded)
	require.ErrorIs(t, s.Regenerate(), sessions.ErrNotLoaded)
	require.Zero(t, s.Metadata())
	s.Destroy()
}

func TestMostSessionsOfAnOwner(t *testing.T) {
	o := newOwnersOf(t, newStore(t), func(c *sessions.Config) { c.MaxSessionsPerOwner = 2 })
	o.login("ann", "1")
	second := o.login("ann", "2")
	o.login("bob", "bob's")
	s := o.m.New()
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrTooManySessions)
	require.Len(t, strings.Split(o.labels("ann"), ","), 2)

	// Who logs in again in the same session takes no further place.
	s = o.load(second)
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)

	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), func(c *sessions.Config) { c.MaxSessionsPerOwner, c.Overflow = 2, sessions.EndOldest })
		first := o.login("ann", "1")
		for _, label := range []string{"2", "3", "4"} {
			time.Sleep(time.Second)
			o.login("ann", label)
		}
		o.dead(first)
		require.Equal(t, "4,3", o.labels("ann"))
	})
}

func TestStepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), nil)
		s := o.load(o.login("ann", ""))
		require.False(t, s.AuthenticatedWithin(time.Hour))
		require.ErrorIs(t, s.SetAuthenticated(time.Now().Add(time.Second)), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetAuthenticated(time.Time{}), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetLabel(strings.Repeat("l", 256)), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetOwner(t.Context(), ""), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetOwner(t.Context(), "ann", nil), sessions.ErrInvalid)
		require.False(t, s.AuthenticatedWithin(time.Hour))
		require.NoError(t, s.SetAuthenticated(time.Now()))
		_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		require.True(t, s.AuthenticatedWithin(5*time.Minute))
		require.False(t, s.AuthenticatedWithin(5*time.Minute-time.Nanosecond))
		require.Equal(t, 5*time.Minute, time.Since(s.Metadata().Authenticated))
	})
}

// A limit that was lowered ends nobody's session, and a new ID is no new session.
func TestLoweredLimit(t *testing.T) {
	store := newStore(t)
	owners := []encrypt.Key{encrypt.GenerateKey()}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	with := func(most int) *ownersOf {
		return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor, c.MaxSessionsPerOwner = owners, enc, most })
	}
	tok := with(3).login("ann", "a")
	with(3).login("ann", "b")
	with(3).login("ann", "c")

	o := with(2)
	s := o.load(tok)
	require.NoError(t, s.Regenerate())
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	s = o.m.New()
	require.NoError(t, s.SetOwner(t.Context(), "ann"))
	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrTooManySessions)
}
