package sessions_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// A session that comes from elsewhere ends when it would have ended there, whatever is
// called first.
func TestBeganAt(t *testing.T) {
	for what, order := range map[string][2]func(*sessions.Session) error{
		"values first":    {setCount, beganHalfAnHourAgo},
		"values last":     {beganHalfAnHourAgo, setCount},
		"after a login":   {(*sessions.Session).Regenerate, beganHalfAnHourAgo},
		"told twice":      {beganHalfAnHourAgo, beganHalfAnHourAgo},
		"and then sooner": {beganHalfAnHourAgo, func(s *sessions.Session) error { return s.BeganAt(time.Now().Add(-time.Minute)) }},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
				m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: time.Hour, Rolling: time.Hour, PersistentCookie: true})
				s := m.New()
				start := time.Now()
				for _, do := range order {
					require.NoError(t, do(s))
				}
				require.NoError(t, setCount(s))
				requireBegan(t, s, start)
				c := commit(t, m, s)
				require.Equal(t, 30*time.Minute, c.MaxAge)
				requireBegan(t, load(t, m, c.Token), start)
				tok := use(t, m, c.Token, true) // and no use renews it
				requireEndsAt(t, m, tok, start.Add(30*time.Minute))
			})
		})
	}
}

func setCount(s *sessions.Session) error { return count.Set(s, 1) }

func beganHalfAnHourAgo(s *sessions.Session) error {
	return s.BeganAt(time.Now().Add(-30 * time.Minute))
}

func requireBegan(t testing.TB, s *sessions.Session, start time.Time) {
	t.Helper()
	md := s.Metadata()
	require.WithinDuration(t, start.Add(-30*time.Minute), md.Created, 0)
	require.WithinDuration(t, start.Add(30*time.Minute), md.Deadline, 0)
	require.Equal(t, 30*time.Minute, s.Remaining())
}

// Of a session that is stored, it is replayed on another request's write, and a later
// login starts the lifetime anew.
func TestBeganAtOfAStoredSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour})
		tok := begin(t, m)
		s, other := load(t, m, tok), load(t, m, tok)
		require.NoError(t, beganHalfAnHourAgo(s))
		increment(t, other)
		commit(t, m, other)
		start := time.Now()
		commit(t, m, s)
		requireBegan(t, load(t, m, tok), start)
		requireCount(t, m, tok, 2)

		s = load(t, m, tok)
		require.NoError(t, beganHalfAnHourAgo(s))
		require.NoError(t, s.Regenerate())
		require.Equal(t, time.Hour, s.Remaining())
		require.NoError(t, beganHalfAnHourAgo(s))
		requireBegan(t, s, time.Now())
		requireBegan(t, load(t, m, commit(t, m, s).Token), time.Now())
	})
}

func TestBeganAtRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour})
		s := m.New()
		require.ErrorIs(t, s.BeganAt(time.Now().Add(-time.Hour)), sessions.ErrEnded)
		require.ErrorIs(t, s.BeganAt(time.Unix(-1, 0)), sessions.ErrInvalid)
		require.ErrorIs(t, s.BeganAt(time.Time{}), sessions.ErrInvalid)
		require.ErrorIs(t, new(sessions.Session).BeganAt(time.Now()), sessions.ErrNotLoaded)
		require.Equal(t, time.Hour, s.Remaining())
		require.NoError(t, s.BeganAt(time.Now().Add(time.Minute)), "another machine's clock")
		require.Equal(t, time.Hour, s.Remaining())
		require.NoError(t, s.BeganAt(time.Now().Add(-time.Hour+time.Millisecond)))
		require.Equal(t, time.Millisecond, s.Remaining())
	})
}
