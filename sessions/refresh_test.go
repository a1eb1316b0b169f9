package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

// A request that only moves the expiry on, and meets the session's end or a failure,
// gives the client no copy of what it has read before: the copy would pass for a live
// session, and its cookie would replace a newer login's.
func TestARefreshThatWroteNothingGivesNoCopy(t *testing.T) {
	for what, elsewhere := range map[string]func(*testing.T, *store, *sessions.Manager, *sessions.Session){
		"another ID": func(t *testing.T, _ *store, m *sessions.Manager, s *sessions.Session) {
			require.NoError(t, s.Regenerate())
			commit(t, m, s)
		},
		"ended": func(t *testing.T, _ *store, m *sessions.Manager, s *sessions.Session) {
			s.Destroy()
			commit(t, m, s)
		},
		"no answer": func(_ *testing.T, st *store, _ *sessions.Manager, _ *sessions.Session) {
			st.before = down(errOutage, "touch", "save")
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, sessions.Config{CookieCache: time.Minute, Rolling: time.Hour})
				tok := begin(t, m)
				tok.Payload = "" // the copy did not fit, say
				time.Sleep(20 * time.Minute)
				slow, other := load(t, m, tok), load(t, m, tok)
				elsewhere(t, st, m, other)
				time.Sleep(time.Second)
				c, err := m.Commit(context.Background(), slow, sessions.BeforeResponse)
				if err != nil {
					require.ErrorIs(t, err, sessions.ErrEnded)
				}
				require.Equal(t, sessions.Keep, c.Action)
			})
		})
	}
}

// Another request's change is as good as a touch, and the copy is of it.
func TestARefreshThatMetAChangeGivesACopyOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{CookieCache: time.Minute, Rolling: time.Hour})
		tok := begin(t, m)
		tok.Payload = ""
		time.Sleep(20 * time.Minute)
		slow, other := load(t, m, tok), load(t, m, tok)
		increment(t, other)
		commit(t, m, other)
		c := commit(t, m, slow)
		require.Equal(t, sessions.Replace, c.Action)
		requireCount(t, m, c.Token, 2)
	})
}

// With the expiry the copy moves on: an old one would be touched with every request.
func TestATouchGivesANewCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{CookieCache: time.Hour, Rolling: time.Hour})
		tok := begin(t, m)
		time.Sleep(20 * time.Minute)
		c := commit(t, m, load(t, m, tok))
		require.Equal(t, sessions.Replace, c.Action)
		require.EqualValues(t, 1, st.touches.Load())
		require.Equal(t, sessions.Keep, commit(t, m, load(t, m, c.Token)).Action)
		require.EqualValues(t, 1, st.touches.Load())
		require.Equal(t, 55*time.Minute, func() time.Duration {
			time.Sleep(5 * time.Minute)
			return load(t, m, c.Token).Remaining()
		}())
	})
}

// A session that its cookie has no room for any more, sealed with what seals now, is read
// as it is: of what the client holds nobody can be asked. Each request may say so several
// times.
func TestARefreshThatDoesNotFitTheCookie(t *testing.T) {
	key := encrypt.GenerateKey()
	short, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	long, err := encrypt.NewXChaCha20Poly1305(key) // whose nonces are longer
	require.NoError(t, err)
	both, err := encrypt.NewKeyring(long, short)
	require.NoError(t, err)

	st := newStore(t)
	hybrid, err := hybridstore.New(cookiestore.Sealed(), st)
	require.NoError(t, err)
	st.before = down(errOutage, "save")
	for what, store := range map[string]stores.Store{"cookie": cookiestore.Sealed(), "hybrid": hybrid} {
		t.Run(what, func(t *testing.T) {
			tok := begin(t, newManager(t, store, sessions.Config{Encryptor: short}))
			m := newManager(t, store, sessions.Config{Encryptor: both, Room: token.HeadChars(false) + len(tok.Payload)})
			s := load(t, m, tok)
			for _, p := range []sessions.Phase{sessions.Midway, sessions.Midway, sessions.BeforeResponse, sessions.AfterResponse} {
				c, err := m.Commit(t.Context(), s, p)
				require.NoError(t, err)
				require.Equal(t, sessions.Keep, c.Action)
			}
			requireCount(t, m, tok, 1)
		})
	}
}
