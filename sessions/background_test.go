package sessions_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

func TestBackground(t *testing.T) {
	for what, c := range map[string]sessions.Config{
		"plain": {}, "cookie cache": {CookieCache: time.Hour}, "signed IDs": {SignedIDs: []encrypt.Key{encrypt.GenerateKey()}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, c)
				tok := begin(t, m)
				s := load(t, m, tok)
				increment(t, s) // a request that is under way
				require.NoError(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
					require.Equal(t, tok.ID.String(), s.ID().String())
					_, err := count.Update(s, func(n int) int { return n + 10 })
					return err
				}))
				commit(t, m, s)
				requireCount(t, m, token.Token{ID: tok.ID}, 12)

				errHalf := errors.New("halfway")
				require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
					increment(t, s)
					return errHalf
				}), errHalf)
				requireCount(t, m, token.Token{ID: tok.ID}, 12)

				saves := st.saves.Load()
				st.before = down(errOutage, "load")
				require.ErrorIs(t, m.Background(t.Context(), tok.ID, neverCalled(t)), stores.ErrUnavailable)
				st.before = down(errForeign, "save")
				require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error { return count.Set(s, 99) }), stores.ErrUnavailable)
				st.before = nil
				require.NotEqual(t, saves, st.saves.Load())
				requireCount(t, m, token.Token{ID: tok.ID}, 12)

				require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
					s.Destroy()
					return errHalf
				}), errHalf, "and yet a logout is one")
				requireRejected(t, m, token.Token{ID: tok.ID}, sessions.Ended)
			})
		})
	}
}

func neverCalled(t *testing.T) func(*sessions.Session) error {
	return func(*sessions.Session) error { t.Error("called"); return nil }
}

func TestBackgroundOfASessionThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Rolling: time.Hour})
		gone := func(id sessions.ID) {
			t.Helper()
			require.ErrorIs(t, m.Background(t.Context(), id, neverCalled(t)), sessions.ErrEnded)
		}
		tok := begin(t, m)
		st.end(t, tok.ID.Key())
		gone(tok.ID)

		tok = begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		commit(t, m, s)
		gone(tok.ID)
		time.Sleep(time.Minute) // and not only for the time that its requests are given
		gone(tok.ID)

		tok = begin(t, m)
		time.Sleep(time.Hour)
		gone(tok.ID)
		gone(m.New().ID())
		require.ErrorIs(t, m.Background(t.Context(), sessions.ID{}, neverCalled(t)), sessions.ErrInvalid)

		tok = begin(t, m)
		require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
			st.end(t, tok.ID.Key())
			return count.Set(s, 2)
		}), sessions.ErrEnded)
		requireRejected(t, m, tok, sessions.Ended)

		// There is nobody who could be given a token.
		tok = begin(t, m)
		require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
			err := s.Regenerate()
			require.ErrorIs(t, err, sessions.ErrTooLate)
			return err
		}), sessions.ErrTooLate)
		require.ErrorIs(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
			s.Destroy()
			_ = count.Set(s, 3) // of a new session
			return nil
		}), sessions.ErrTooLate)
		requireRejected(t, m, tok, sessions.Ended)

		// To look is no use.
		tok = begin(t, m)
		time.Sleep(30 * time.Minute)
		writes := st.writes()
		require.NoError(t, m.Background(t.Context(), tok.ID, func(s *sessions.Session) error {
			require.Equal(t, 30*time.Minute, s.Remaining())
			return nil
		}))
		require.Equal(t, writes, st.writes())
		time.Sleep(30 * time.Minute)
		gone(tok.ID)
	})
}

func TestBackgroundNeedsAServer(t *testing.T) {
	m := newManager(t, clientStore{}, sessions.Config{})
	require.ErrorIs(t, m.Background(t.Context(), begin(t, m).ID, neverCalled(t)), sessions.ErrConfig)

	both, err := hybridstore.New(clientStore{}, newStore(t))
	require.NoError(t, err)
	m = newManager(t, both, sessions.Config{Room: 400})
	small := begin(t, m)
	require.NotEmpty(t, small.Payload)
	require.ErrorIs(t, m.Background(t.Context(), small.ID, neverCalled(t)), sessions.ErrEnded)

	s := load(t, m, small)
	require.NoError(t, name.Set(s, strings.Repeat("x", 400)))
	large := commit(t, m, s).Token
	require.Empty(t, large.Payload)
	require.NoError(t, m.Background(t.Context(), large.ID, func(s *sessions.Session) error { return count.Set(s, 2) }))
	requireCount(t, m, large, 2)
}
