package sessions_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

// use is a request of tok that writes n, or only reads where n is 0.
func (o *ownersOf) use(tok token.Token, n int) {
	o.t.Helper()
	s := o.load(tok)
	if n > 0 {
		require.NoError(o.t, sessions.Key[int]("n").Set(s, n))
	}
	_, err := o.m.Commit(o.t.Context(), s, sessions.BeforeResponse)
	require.NoError(o.t, err)
}

// A session all of whose requests write must not stay under the retired key: when
// that is taken out, the session would be alive and on no list.
func TestOwnerKeysRotateWhereEveryRequestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
		enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
		require.NoError(t, err)
		with := func(keys ...encrypt.Key) *ownersOf {
			return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, enc })
		}
		tok := with(a).login("ann", "phone")
		began := time.Now()
		time.Sleep(time.Minute)
		with(b, a).use(tok, 1)

		last := with(b)
		list, err := last.m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.WithinDuration(t, began, list[0].LoggedIn, 0, "filed afresh is not logged in afresh")
		n, err := last.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		last.dead(tok)
	})
}

// The list is sealed under the encryption keys, and follows their rotation as
// the records do.
func TestTheListFollowsTheEncryptionKeys(t *testing.T) {
	for name, n := range map[string]int{"read": 0, "write": 1} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			owners := []encrypt.Key{encrypt.GenerateKey()}
			a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
			with := func(keys ...encrypt.Key) *ownersOf {
				enc, err := encrypt.NewAESGCM(keys...)
				require.NoError(t, err)
				return newOwnersOf(t, store, func(c *sessions.Config) {
					c.Owners, c.Encryptor, c.MaxSessionsPerOwner = owners, enc, 3
				})
			}
			tok := with(a).login("ann", "used")
			with(a).login("ann", "unused")
			with(b, a).use(tok, n)
			with(b, a).use(tok, n)

			last := with(b)
			last.load(tok)
			require.Equal(t, ",used", last.labels("ann"), "what does not open is listed without its label")
			last.login("ann", "new") // and does not keep its owner out
			list, err := last.m.Sessions(t.Context(), "ann")
			require.NoError(t, err)
			require.Len(t, list, 3)
			for _, s := range list {
				if s.Label == "" {
					require.NoError(t, last.m.Revoke(t.Context(), "ann", s.Handle))
				}
			}
			require.ElementsMatch(t, []string{"used", "new"}, strings.Split(last.labels("ann"), ","))
		})
	}
}

func TestALabelIsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnersOf(t, newStore(t), nil)
		tok := o.login("ann", "phone")
		began := time.Now()
		time.Sleep(time.Minute)
		s := o.load(tok)
		require.NoError(t, s.SetLabel("tablet"))
		_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.NoError(t, err)
		list, err := o.m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, "tablet", list[0].Label)
		require.WithinDuration(t, began, list[0].LoggedIn, 0)
	})
}
