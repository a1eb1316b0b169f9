package sessions_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

// After Discard the session is what it was, in every respect, and nothing is written.
func TestDiscard(t *testing.T) {
	for what, change := range map[string]func(*testing.T, *sessions.Session){
		"value":   func(t *testing.T, s *sessions.Session) { require.NoError(t, name.Set(s, "Grace")) },
		"deleted": func(t *testing.T, s *sessions.Session) { require.NoError(t, count.Delete(s)) },
		"new ID":  func(t *testing.T, s *sessions.Session) { require.NoError(t, s.Regenerate()) },
		"owner":   func(t *testing.T, s *sessions.Session) { require.NoError(t, s.SetOwner(t.Context(), "ada")) },
		"proof":   func(t *testing.T, s *sessions.Session) { require.NoError(t, s.SetAuthenticated(time.Now())) },
		"times":   func(t *testing.T, s *sessions.Session) { require.NoError(t, s.Limit(time.Minute, time.Second)) },
	} {
		for _, isNew := range []bool{false, true} {
			t.Run(what, func(t *testing.T) {
				st, m := setup(t, sessions.Config{Owners: []encrypt.Key{encrypt.GenerateKey()}})
				tok := begin(t, m)
				s := load(t, m, tok)
				if isNew {
					s = m.New()
				}
				names, md := s.Names(), s.Metadata()
				id := s.ID()
				change(t, s)
				s.Discard()
				require.Equal(t, names, s.Names())
				require.Empty(t, s.Owner())
				require.Zero(t, s.Metadata().Authenticated)
				require.Equal(t, isNew, s.IsNew())
				if !isNew {
					require.Equal(t, md, s.Metadata())
					require.True(t, s.ID().Equal(id))
				}
				writes := st.writes()
				require.Equal(t, sessions.Keep, commit(t, m, s).Action)
				_, err := m.Commit(t.Context(), s, sessions.AfterResponse)
				require.NoError(t, err)
				require.Equal(t, writes, st.writes(), "nothing is left to be written")
				require.Equal(t, 1, st.Len())
				requireCount(t, m, tok, 1)
			})
		}
	}
	var s *sessions.Session
	s.Discard()
	new(sessions.Session).Discard()
}

// A page that fails after a logout does not undo it.
func TestDiscardKeepsTheLogout(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	s.Destroy()
	require.NoError(t, name.Set(s, "Grace")) // would begin another session
	s.Discard()
	require.Equal(t, sessions.Remove, commit(t, m, s).Action)
	requireRejected(t, m, tok, sessions.Ended)
	require.Zero(t, st.Len())
}

// What is committed stays, and what comes after Discard counts.
func TestDiscardBetweenChanges(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	_, err := m.Commit(t.Context(), s, sessions.Midway)
	require.NoError(t, err)
	increment(t, s)
	s.Discard()
	require.NoError(t, name.Set(s, "Grace"))
	commit(t, m, s)
	requireCount(t, m, tok, 2)
	text, err := name.Get(load(t, m, tok))
	require.NoError(t, err)
	require.Equal(t, "Grace", text)
}

// A commit that is under way in another goroutine writes what it began with, once.
// What was logged meanwhile is dropped, and what comes after Discard stays.
func TestDiscardDuringCommit(t *testing.T) {
	for what, start := range map[string]func(*testing.T, *sessions.Manager) *sessions.Session{
		"save":   func(t *testing.T, m *sessions.Manager) *sessions.Session { return load(t, m, begin(t, m)) },
		"create": func(t *testing.T, m *sessions.Manager) *sessions.Session { return m.New() },
		"regenerate": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			require.NoError(t, s.Regenerate())
			return s
		},
	} {
		for _, fails := range []bool{false, true} {
			t.Run(what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st, m := setup(t, sessions.Config{})
					s := start(t, m)
					before, err := count.GetOr(s, 0)
					require.NoError(t, err)
					increment(t, s)
					first, err := during(t, st, m, s, 1, func() {
						increment(t, s)
						s.Discard()
						s.ID()
						require.NoError(t, name.Set(s, "Grace"))
						if fails {
							st.after = down(errOutage, "save", "move", "load")
						}
					})
					if fails {
						require.Error(t, err)
						return
					}
					require.NoError(t, err)
					second := commit(t, m, s)
					if second.Action == sessions.Replace {
						require.Equal(t, first.Token, second.Token, "no ID that nobody asked for")
					}
					tok := token.Token{ID: s.ID()}
					requireCount(t, m, tok, before+1)
					text, err := name.Get(load(t, m, tok))
					require.NoError(t, err)
					require.Equal(t, "Grace", text)
					require.Equal(t, 1, st.Len())
				})
			})
		}
	}
}

// Discard while what came into a commit is replayed on what it wrote.
func TestDiscardDuringReplay(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	s := load(t, m, begin(t, m))
	increment(t, s)
	ran := false
	_, err := during(t, st, m, s, 1, func() {
		_, err := count.Update(s, func(n int) int {
			if n == 2 && ran { // at the replay
				s.Discard()
			}
			ran = true
			return n + 100
		})
		require.NoError(t, err)
	})
	require.NoError(t, err)
	n, err := count.Get(s)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	commit(t, m, s)
	requireCount(t, m, token.Token{ID: s.ID()}, 2)
}

// With a token that was replaced a moment ago, no session begins but that of a login.
// A login that was discarded is none.
func TestDiscardedLoginBeginsNoSession(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	other := load(t, m, tok)
	require.NoError(t, other.Regenerate())
	commit(t, m, other)

	s, err := m.Load(t.Context(), tok)
	var r *sessions.RejectedError
	require.True(t, errors.As(err, &r))
	require.ErrorIs(t, name.Set(s, "Grace"), sessions.ErrEnded)
	require.NoError(t, s.Regenerate())
	require.NoError(t, name.Set(s, "Grace"))
	s.Discard()
	require.ErrorIs(t, name.Set(s, "Grace"), sessions.ErrEnded)
	require.Equal(t, 1, st.Len())

	require.NoError(t, s.Regenerate())
	require.NoError(t, name.Set(s, "Grace"))
	commit(t, m, s)
	s.Discard()
	require.NoError(t, name.Set(s, "Ada"), "there is a session by now")
}

func TestNames(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := load(t, m, begin(t, m))
	require.NoError(t, name.Set(s, "Grace"))
	require.NoError(t, sessions.Flash[string]("alerts").Add(s, "hello"))
	require.Equal(t, []string{"alerts", "count", "name"}, s.Names())
	require.NoError(t, count.Delete(s))
	require.Equal(t, []string{"alerts", "name"}, s.Names())
	s.Destroy()
	require.Empty(t, s.Names())
	require.Empty(t, (*sessions.Session)(nil).Names())
}

func TestPopOr(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := load(t, m, begin(t, m))
	n, err := count.PopOr(s, 7)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = count.PopOr(s, 7)
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.NoError(t, name.Set(s, "Grace"))
	n, err = sessions.Key[int](name).PopOr(s, 7)
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.Zero(t, n)
	require.Equal(t, []string{"name"}, s.Names(), "what does not decode stays")
	_, err = count.PopOr(nil, 7)
	require.ErrorIs(t, err, sessions.ErrNotLoaded)
}
