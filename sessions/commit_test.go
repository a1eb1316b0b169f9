package sessions_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// conflict runs a and b as two requests that load the same state; b commits
// last. It returns what the store has then.
func conflict(t *testing.T, a, b func(*sessions.Session)) *sessions.Session {
	t.Helper()
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	first, second := load(t, m, tok), load(t, m, tok)
	a(first)
	b(second)
	commit(t, m, first)
	commit(t, m, second)
	return load(t, m, tok)
}

func TestWritesOnlyChanges(t *testing.T) {
	st, m := setup(t, sessions.Config{Rolling: time.Hour})
	tok := begin(t, m)
	writes := st.writes()
	for what, use := range map[string]func(*sessions.Session){
		"only read": func(s *sessions.Session) {
			count.Get(s)
			name.GetOr(s, "")
			s.Metadata()
		},
		"ends up equal": func(s *sessions.Session) {
			require.NoError(t, count.Set(s, 99))
			require.NoError(t, name.Delete(s))
			require.NoError(t, sessions.Key[int]("new").Set(s, 1))
			require.NoError(t, sessions.Key[int]("new").Delete(s))
			require.NoError(t, name.Set(s, "Ada"))
			require.NoError(t, count.Set(s, 1))
		},
	} {
		s := load(t, m, tok)
		use(s)
		for _, phase := range []sessions.Phase{sessions.Midway, sessions.BeforeResponse, sessions.AfterResponse} {
			change, err := m.Commit(t.Context(), s, phase)
			require.NoError(t, err)
			require.Equal(t, sessions.Change{}, change, what)
		}
		require.Equal(t, writes, st.writes(), what)
	}
	// And what was committed is not committed again.
	s := load(t, m, tok)
	increment(t, s)
	for range 3 {
		commit(t, m, s)
	}
	require.Equal(t, writes+1, st.writes())
}

func TestEmptySessions(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	s := m.New()
	s.ID()
	require.NoError(t, s.Regenerate())
	require.Equal(t, sessions.Change{}, commit(t, m, s))
	s = m.New()
	require.NoError(t, count.Set(s, 1))
	require.NoError(t, count.Delete(s))
	require.Equal(t, sessions.Change{}, commit(t, m, s))
	require.True(t, s.IsNew())
	require.Zero(t, st.writes())

	// Emptied key by key it lives on, and so does another request's change.
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	require.NoError(t, count.Delete(s))
	require.NoError(t, name.Delete(s))
	require.NoError(t, sessions.Key[bool]("mine").Set(other, true))
	require.Equal(t, sessions.Keep, commit(t, m, s).Action)
	_, err := count.Get(load(t, m, tok))
	require.ErrorIs(t, err, sessions.ErrNoValue)
	commit(t, m, other)
	mine, err := sessions.Key[bool]("mine").Get(load(t, m, tok))
	require.NoError(t, err)
	require.True(t, mine)
}

func TestEndThenBegin(t *testing.T) {
	for what, end := range map[string]func(*sessions.Session){
		"once":    (*sessions.Session).Destroy,
		"twice":   func(s *sessions.Session) { s.Destroy(); s.Destroy() },
		"between": func(s *sessions.Session) { s.Destroy(); count.Set(s, 5); s.Destroy() },
	} {
		t.Run(what, func(t *testing.T) {
			st, m := setup(t, sessions.Config{})
			tok := begin(t, m)
			s := load(t, m, tok)
			end(s)
			require.True(t, s.IsNew())
			_, err := count.Get(s)
			require.ErrorIs(t, err, sessions.ErrNoValue)
			require.NoError(t, name.Set(s, "Grace"))
			change := commit(t, m, s)
			require.Equal(t, sessions.Replace, change.Action)
			require.False(t, change.Token.ID.Equal(tok.ID))
			require.Equal(t, 1, st.Len())
			requireRejected(t, m, tok, sessions.Ended)

			s = load(t, m, change.Token)
			text, err := name.Get(s)
			require.NoError(t, err)
			require.Equal(t, "Grace", text)
			_, err = count.Get(s)
			require.ErrorIs(t, err, sessions.ErrNoValue)

			end(s)
			require.Equal(t, sessions.Change{Action: sessions.Remove}, commit(t, m, s))
			require.Zero(t, st.Len())
		})
	}
	t.Run("new", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := m.New()
		require.NoError(t, count.Set(s, 1))
		s.Destroy()
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Zero(t, st.writes())
	})
}

func TestCancelledRequestStillCommits(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Commit(ctx, s, sessions.BeforeResponse)
	require.NoError(t, err)
	requireCount(t, m, tok, 2)
}

// hang waits for the context, as a client of a dead server does.
func hang(op string) func(context.Context, call) error {
	return func(ctx context.Context, c call) error {
		if c.op != op {
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("called with a context that is done")
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestCommitTimeout(t *testing.T) {
	for what, change := range map[string]struct {
		op string
		do func(*sessions.Session)
	}{
		"save":       {"save", func(s *sessions.Session) { count.Set(s, 2) }},
		"destroy":    {"end", (*sessions.Session).Destroy},
		"regenerate": {"save", func(s *sessions.Session) { s.Regenerate() }},
		"create":     {"save", func(s *sessions.Session) { s.Destroy(); count.Set(s, 2) }},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, sessions.Config{CommitTimeout: 3 * time.Second})
				tok := begin(t, m)
				s := load(t, m, tok)
				change.do(s)
				st.before = hang(change.op)
				start := time.Now()
				got, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
				require.ErrorIs(t, err, stores.ErrUnavailable)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 3*time.Second, time.Since(start))
				require.NotEqual(t, sessions.Replace, got.Action)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := m.New()
		require.NoError(t, count.Set(s, 2))
		st.before = hang("save")
		start := time.Now()
		_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

// A store that fails loses nothing. Where it fails for as long as a commit may take,
// nobody knows whether it has written the change, so this request does not try
// again; the next one may.
func TestCommitAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		st.before = down(errOutage, "save")
		start := time.Now()
		change, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.NotErrorIs(t, err, sessions.ErrEnded)
		require.Equal(t, sessions.Change{}, change)
		require.InDelta(t, 5*time.Second, time.Since(start), float64(300*time.Millisecond))
		requireCount(t, m, tok, 1)
		st.before = nil
		_, err = m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		requireCount(t, m, tok, 1)
		s = load(t, m, tok)
		increment(t, s)
		commit(t, m, s)
		requireCount(t, m, tok, 2)
	})
}

// An outage that is shorter than a commit may take is none for the user.
func TestCommitOutlastsAnOutage(t *testing.T) {
	for what, change := range map[string]func(*sessions.Session){
		"save":              func(s *sessions.Session) { count.Set(s, 2) },
		"regenerate":        func(s *sessions.Session) { s.Regenerate() },
		"destroy":           (*sessions.Session).Destroy,
		"destroy and begin": func(s *sessions.Session) { s.Destroy(); count.Set(s, 2) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ev events
				st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
				tok := begin(t, m)
				s := load(t, m, tok)
				change(s)
				back := time.Now().Add(4 * time.Second)
				st.before = func(context.Context, call) error {
					if time.Now().Before(back) {
						return errOutage
					}
					return nil
				}
				got, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
				require.NoError(t, err)
				require.Less(t, time.Since(back), 500*time.Millisecond)
				require.Less(t, st.writes(), 60, "the store is asked all the time")
				require.Empty(t, ev.of("store error"))
				switch what {
				case "save":
					requireCount(t, m, tok, 2)
				case "destroy":
					require.Equal(t, sessions.Remove, got.Action)
					require.Zero(t, st.Len())
				default:
					load(t, m, got.Token)
					require.Equal(t, 1, st.Len())
				}
			})
		})
	}
}

// during commits s and runs f while the store has the commit's nth save.
func during(t *testing.T, st *store, m *sessions.Manager, s *sessions.Session, nth int32, f func()) (change sessions.Change, err error) {
	t.Helper()
	g := newGate()
	st.before = on("save", nth, g.wait)
	var wg sync.WaitGroup
	wg.Go(func() { change, err = m.Commit(context.Background(), s, sessions.Midway) })
	<-g.reached
	f()
	close(g.open)
	wg.Wait()
	st.before = nil
	return change, err
}

func TestEndedElsewhere(t *testing.T) {
	var ev events
	st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	increment(t, s)
	other.Destroy()
	require.Equal(t, sessions.Remove, commit(t, m, other).Action)
	for _, phase := range []sessions.Phase{sessions.Midway, sessions.BeforeResponse, sessions.AfterResponse} {
		increment(t, s)
		change, err := m.Commit(t.Context(), s, phase)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.Equal(t, sessions.Change{}, change, "the client may have a newer login's token")
		if phase == sessions.Midway {
			require.ErrorIs(t, s.Regenerate(), sessions.ErrEnded)
		}
	}
	_, ok := m.Token(s)
	require.False(t, ok)
	require.Zero(t, st.Len())
	require.Len(t, ev.of("ended"), 1)
	require.Equal(t, tok.ID.Key(), ev.of("ended")[0].Key)
	require.Empty(t, ev.of("store error"))

	// Whoever asks again is told again, also without a change.
	for _, phase := range []sessions.Phase{sessions.Midway, sessions.BeforeResponse, sessions.AfterResponse} {
		_, err := m.Commit(t.Context(), s, phase)
		require.ErrorIs(t, err, sessions.ErrEnded)
	}

	// A logout that finds it gone takes nothing away from the client either.
	s.Destroy()
	require.Equal(t, sessions.Change{}, commit(t, m, s))
}

func TestEndComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		s.Destroy()
		require.NoError(t, count.Set(s, 9))
		st.before = down(errOutage, "save")
		change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, sessions.Remove, change.Action)
		require.Zero(t, st.Len(), "who logs out is out")

		// And where it can't be ended, the client is not told that it was.
		st.before = nil
		tok = begin(t, m)
		s = load(t, m, tok)
		s.Destroy()
		st.before = down(errOutage, "end")
		change, err = m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, sessions.Keep, change.Action)
		st.before = nil
		require.Equal(t, sessions.Remove, commit(t, m, s).Action)
		requireRejected(t, m, tok, sessions.Ended)
	})
}

// A lost reply costs a round trip and not an error: the commit looks whether it was
// carried out. Nothing is applied twice.
func TestLostReply(t *testing.T) {
	lost := func() error { return errOutage }
	t.Run("save", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		saves, loads := st.saves.Load(), st.loads.Load()
		st.after = on("save", 1, lost)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Equal(t, saves+1, st.saves.Load())
		require.Equal(t, loads+1, st.loads.Load())
		requireCount(t, m, tok, 2)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		requireCount(t, m, tok, 2) // not applied twice
		increment(t, s)
		_, err := m.Commit(t.Context(), s, sessions.AfterResponse)
		require.NoError(t, err)
		requireCount(t, m, tok, 3) // and it goes on from what it has found
		require.Equal(t, loads+4, st.loads.Load(), "one for each requireCount")
	})
	t.Run("save, and the request too", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		st.before, st.after = on("save", 1, lost), on("save", 1, lost)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		requireCount(t, m, tok, 2)
	})
	t.Run("save, and another request's after it", func(t *testing.T) {
		ring := newRing(t)
		st, m := setup(t, sessions.Config{Encryptor: ring})
		other := newManager(t, st, sessions.Config{Encryptor: ring}) // another process
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		st.after = on("save", 1, func() error {
			st.after = nil
			o := load(t, other, tok)
			increment(t, o)
			commit(t, other, o)
			return errOutage
		})
		commit(t, m, s)
		requireCount(t, m, tok, 3) // its mark is still there
		n, err := count.Get(s)
		require.NoError(t, err)
		require.Equal(t, 3, n, "it goes on from what it has found")
	})
	t.Run("destroy", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := load(t, m, begin(t, m))
		s.Destroy()
		st.after = on("end", 1, lost)
		require.Equal(t, sessions.Remove, commit(t, m, s).Action)
		require.Zero(t, st.Len())
		require.EqualValues(t, 1, st.ends.Load())
	})
	t.Run("create", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := m.New()
		increment(t, s)
		st.after = on("save", 1, lost)
		requireCount(t, m, commit(t, m, s).Token, 1)
		require.EqualValues(t, 1, st.saves.Load(), "created twice")
	})
	t.Run("first step of regenerate", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		saves := st.saves.Load()
		st.after = on("save", 1, lost)
		requireCount(t, m, commit(t, m, s).Token, 1)
		require.Equal(t, saves+1, st.saves.Load())
		requireRejected(t, m, tok, sessions.Replaced)
		require.Equal(t, 1, st.Len())
	})
	t.Run("regenerate", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		st.after = on("move", 1, lost)
		requireCount(t, m, commit(t, m, s).Token, 1)
		require.EqualValues(t, 1, st.moves.Load())
		requireRejected(t, m, tok, sessions.Replaced)
		require.Equal(t, 1, st.Len())
	})
}

// Where no reply comes for as long as a commit may take, the request fails, whatever
// the store did: nothing is applied twice, no token goes out, and no second session
// is left alive.
func TestNoReplyAtAll(t *testing.T) {
	for what, c := range map[string]struct {
		begin func(*sessions.Manager, *sessions.Session)
		op    string
		want  int // sessions alive
	}{
		"save":                      {func(_ *sessions.Manager, s *sessions.Session) { count.Set(s, 2) }, "save", 1},
		"create":                    {func(_ *sessions.Manager, s *sessions.Session) { s.Destroy(); count.Set(s, 2) }, "save", 0},
		"first step of regenerate":  {func(_ *sessions.Manager, s *sessions.Session) { s.Regenerate() }, "save", 1},
		"second step of regenerate": {func(_ *sessions.Manager, s *sessions.Session) { s.Regenerate() }, "move", 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				tok := begin(t, m)
				s := load(t, m, tok)
				c.begin(m, s)
				st.after = down(errOutage, c.op, "load")
				for _, phase := range phases {
					change, err := m.Commit(t.Context(), s, phase)
					require.ErrorIs(t, err, stores.ErrUnavailable)
					require.NotEqual(t, sessions.Replace, change.Action)
				}
				st.after = nil
				require.Equal(t, c.want, st.Len())
			})
		})
	}
}
