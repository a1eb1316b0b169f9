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

func TestCountersLoseNothing(t *testing.T) {
	_, m := setup(t, sessions.Config{CommitTimeout: time.Minute})
	s := m.New()
	require.NoError(t, count.Set(s, 0))
	tok := commit(t, m, s).Token
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				s, err := m.Load(context.Background(), received(t, tok))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err = count.Update(s, func(n int) int { return n + 1 }); err != nil {
					t.Error(err)
				}
				if _, err = m.Commit(context.Background(), s, sessions.BeforeResponse); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	requireCount(t, m, tok, 3200)
}

func TestDifferentKeysLoseNothing(t *testing.T) {
	_, m := setup(t, sessions.Config{CommitTimeout: time.Minute})
	tok := begin(t, m)
	key := func(i int) sessions.Key[int] { return sessions.Key[int](fmt.Sprintf("key %02d", i)) }

	// All load before any commits.
	loaded := make([]*sessions.Session, 64)
	for i := range loaded {
		loaded[i] = load(t, m, tok)
		require.NoError(t, key(i).Set(loaded[i], i))
	}
	var wg sync.WaitGroup
	for _, s := range loaded {
		wg.Go(func() {
			if _, err := m.Commit(context.Background(), s, sessions.BeforeResponse); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := load(t, m, tok)
	for i := range loaded {
		got, err := key(i).Get(s)
		require.NoError(t, err)
		require.Equal(t, i, got)
	}
}

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

func TestConflict(t *testing.T) {
	set := func(v string) func(*sessions.Session) {
		return func(s *sessions.Session) { require.NoError(t, name.Set(s, v)) }
	}
	remove := func(s *sessions.Session) { require.NoError(t, name.Delete(s)) }
	popName := func(want string) func(*sessions.Session) {
		return func(s *sessions.Session) {
			got, err := name.Pop(s)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	both := func(fs ...func(*sessions.Session)) func(*sessions.Session) {
		return func(s *sessions.Session) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	double := func(s *sessions.Session) {
		_, err := name.Update(s, func(v string) string { return v + v })
		require.NoError(t, err)
	}
	const none = ""
	for what, c := range map[string]struct {
		a, b func(*sessions.Session)
		want string
	}{
		"set, set: the later commit wins":    {set("a"), set("b"), "b"},
		"set, update: on the newer value":    {set("ab"), double, "abab"},
		"update, update":                     {double, double, "AdaAdaAdaAda"},
		"delete, update: on no value":        {remove, double, none},
		"set, delete":                        {set("a"), remove, none},
		"delete, set":                        {remove, set("b"), "b"},
		"set, set to what was there":         {set("a"), both(set("Ada"), func(s *sessions.Session) { increment(t, s) }), "a"},
		"set, pop: only what was seen":       {set("a"), popName("Ada"), "a"},
		"pop, pop":                           {popName("Ada"), popName("Ada"), none},
		"pop, increment":                     {popName("Ada"), func(s *sessions.Session) { increment(t, s) }, none},
		"set, set and pop: its own":          {set("a"), both(set("b"), popName("b")), none},
		"set, pop and set":                   {set("a"), both(popName("Ada"), set("b")), "b"},
		"increment, set: the rest is kept":   {func(s *sessions.Session) { increment(t, s) }, set("b"), "b"},
		"set, delete and set":                {set("a"), both(remove, set("b")), "b"},
		"set, two operations in their order": {set("a"), both(double, double), "aaaa"},
	} {
		t.Run(what, func(t *testing.T) {
			s := conflict(t, c.a, c.b)
			got, err := name.GetOr(s, none)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			n, err := count.Get(s)
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, 1)
		})
	}
}

func TestWritesOnlyChanges(t *testing.T) {
	st, m := setup(t, sessions.Config{Lifetime: time.Hour, Rolling: true})
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

// Where another request made the same change there is nothing left to write.
func TestSameChangeByTwoRequests(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	a, b := load(t, m, tok), load(t, m, tok)
	require.NoError(t, name.Set(a, "b"))
	require.NoError(t, name.Set(b, "b"))
	commit(t, m, a)
	generation := load(t, m, tok).Metadata().Generation
	saves := st.saves.Load()
	commit(t, m, b)
	require.Equal(t, saves+1, st.saves.Load(), "the save that met the conflict")
	require.Equal(t, generation, load(t, m, tok).Metadata().Generation)
	require.Equal(t, generation, b.Metadata().Generation)
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
		"Clear":   (*sessions.Session).Clear,
		"Destroy": (*sessions.Session).Destroy,
		"twice":   func(s *sessions.Session) { s.Clear(); s.Destroy() },
		"between": func(s *sessions.Session) { s.Clear(); count.Set(s, 5); s.Clear() },
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
			requireRejected(t, m, tok, sessions.Unknown)

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
		s.Clear()
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
		"destroy":    {"delete", (*sessions.Session).Destroy},
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

// A store that fails loses nothing. Whether it has written the change nobody
// knows, so this request does not try again; the next one may.
func TestCommitAfterOutage(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	st.before = on("save", 1, func() error { return errOutage })
	change, err := m.Commit(t.Context(), s, sessions.Midway)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.NotErrorIs(t, err, sessions.ErrEnded)
	require.Equal(t, sessions.Change{}, change)
	requireCount(t, m, tok, 1)
	_, err = m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	requireCount(t, m, tok, 1)
	s = load(t, m, tok)
	increment(t, s)
	commit(t, m, s)
	requireCount(t, m, tok, 2)
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		st, m := setup(t, sessions.Config{CommitTimeout: 2 * time.Second, Hooks: ev.hooks()})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)

		st.before = func(ctx context.Context, c call) error {
			if c.op != "save" {
				return nil
			}
			rec, err := st.Store.Load(ctx, c.tok)
			require.NoError(t, err)
			_, _, err = st.Store.Save(ctx, c.tok, rec)
			return err
		}
		start := time.Now()
		_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrBusy)
		require.GreaterOrEqual(t, time.Since(start), 2*time.Second)
		require.Less(t, time.Since(start), 3*time.Second)
		require.Greater(t, len(ev.of("conflict")), 10)
		st.before = nil
		requireCount(t, m, tok, 1)
	})
}

// One waits in the queue while another one of its session has the turn, for no
// longer than a commit may take.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{CommitTimeout: 2 * time.Second})
		tok := begin(t, m)
		first, second := load(t, m, tok), load(t, m, tok)
		increment(t, first)
		increment(t, second)
		newer := load(t, m, tok)
		increment(t, newer)
		commit(t, m, newer)
		g := newGate()
		st.before = on("load", 1, g.wait) // first has the turn and is stuck, against rule and context
		var wg sync.WaitGroup
		wg.Go(func() {
			// Its own time is over when it goes on.
			m.Commit(context.Background(), first, sessions.BeforeResponse)
		})
		<-g.reached
		_, err := m.Commit(t.Context(), second, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrBusy)
		close(g.open)
		wg.Wait()

		st.before = nil
		_, err = m.Commit(t.Context(), second, sessions.AfterResponse)
		require.NoError(t, err, "the turn is free again")
	})
}

func TestReplayThatDoesNotDecode(t *testing.T) {
	for what, prepare := range map[string]func(*sessions.Session){
		"save":       func(*sessions.Session) {},
		"regenerate": func(s *sessions.Session) { require.NoError(t, s.Regenerate()) },
	} {
		t.Run(what, func(t *testing.T) {
			st, m := setup(t, sessions.Config{})
			tok := begin(t, m)
			s, other := load(t, m, tok), load(t, m, tok)
			increment(t, s)
			prepare(s)
			require.NoError(t, sessions.Key[string](count).Set(other, secret))
			commit(t, m, other)
			change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrDecode)
			requireNoSecret(t, err)
			require.Equal(t, sessions.Change{}, change)
			text, err := sessions.Key[string](count).Get(load(t, m, tok))
			require.NoError(t, err)
			require.Equal(t, secret, text, "the newer record is overwritten")
			require.Equal(t, 1, st.Len())
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

func TestChangeDuringCommit(t *testing.T) {
	for what, start := range map[string]func(t *testing.T, m *sessions.Manager) *sessions.Session{
		"save": func(t *testing.T, m *sessions.Manager) *sessions.Session { return load(t, m, begin(t, m)) },
		"create": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := m.New()
			count.Set(s, 1)
			return s
		},
		"regenerate": func(t *testing.T, m *sessions.Manager) *sessions.Session {
			s := load(t, m, begin(t, m))
			require.NoError(t, s.Regenerate())
			return s
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Run("change", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, func() {
					increment(t, s)
					require.NoError(t, name.Set(s, "Grace"))
				})
				require.NoError(t, err)
				commit(t, m, s)
				requireCount(t, m, stores.Token{ID: s.ID()}, 3)
				text, err := name.Get(load(t, m, stores.Token{ID: s.ID()}))
				require.NoError(t, err)
				require.Equal(t, "Grace", text)
				require.Equal(t, 1, st.Len())
			})
			t.Run("destroy", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, s.Destroy)
				require.NoError(t, err)
				_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
				require.NoError(t, err)
				require.Zero(t, st.Len())
			})
			t.Run("destroy and begin", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				_, err := during(t, st, m, s, 1, func() {
					s.Destroy()
					require.NoError(t, count.Set(s, 77))
				})
				require.NoError(t, err)
				change := commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action)
				requireCount(t, m, change.Token, 77)
				require.Equal(t, 1, st.Len())
			})
			t.Run("regenerate", func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := start(t, m)
				increment(t, s)
				first, err := during(t, st, m, s, 1, func() { require.NoError(t, s.Regenerate()) })
				require.NoError(t, err)
				change := commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action)
				require.False(t, change.Token.ID.Equal(first.Token.ID))
				require.True(t, change.Token.ID.Equal(s.ID()))
				requireCount(t, m, change.Token, 2)
				require.Equal(t, 1, st.Len())
			})
		})
	}
}

// What another request wrote and what this one changed while its commit replayed
// are both kept.
func TestChangeDuringReplay(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	increment(t, s)
	_, err := count.Update(other, func(n int) int { return n + 100 })
	require.NoError(t, err)
	require.NoError(t, name.Set(other, "Grace"))
	commit(t, m, other)
	_, err = during(t, st, m, s, 2, func() { increment(t, s) })
	require.NoError(t, err)
	n, err := count.Get(s)
	require.NoError(t, err)
	require.Equal(t, 103, n)
	text, err := name.Get(s)
	require.NoError(t, err)
	require.Equal(t, "Grace", text, "the session goes on with the newer record")
	commit(t, m, s)
	requireCount(t, m, tok, 103)
}

// What came into a commit and can't be replayed on what it wrote is an error. It
// must not be saved over the other request's change.
func TestChangeDuringReplayThatDoesNotDecode(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s, other := load(t, m, tok), load(t, m, tok)
	require.NoError(t, name.Set(s, "Grace"))
	require.NoError(t, s.Regenerate())
	require.NoError(t, sessions.Key[string](count).Set(other, "a text"))
	commit(t, m, other)
	// Regenerate saves under the new ID, meets the conflict at Delete and saves
	// again.
	change, err := during(t, st, m, s, 2, func() { increment(t, s) })
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.Equal(t, sessions.Replace, change.Action, "the old ID is dead; without the new one all is lost")
	commit(t, m, s)
	s = load(t, m, change.Token)
	text, err := sessions.Key[string](count).Get(s)
	require.NoError(t, err)
	require.Equal(t, "a text", text)
	text, err = name.Get(s)
	require.NoError(t, err)
	require.Equal(t, "Grace", text)
}

// The session that begins after a Destroy must not suffer because the one before
// it was ended elsewhere.
func TestBeginDuringCommitOfAnEndedSession(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	_, err := during(t, st, m, s, 1, func() {
		require.NoError(t, st.Store.Delete(t.Context(), tok, ""))
		s.Destroy()
		require.NoError(t, count.Set(s, 77))
	})
	require.ErrorIs(t, err, sessions.ErrEnded)
	change := commit(t, m, s)
	require.Equal(t, sessions.Replace, change.Action)
	requireCount(t, m, change.Token, 77)
	require.Equal(t, 1, st.Len())
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

	// A logout that finds it gone takes nothing away from the client either.
	s.Destroy()
	require.Equal(t, sessions.Change{}, commit(t, m, s))
}

func TestEndComesFirst(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	s.Destroy()
	require.NoError(t, count.Set(s, 9))
	st.before = on("save", 1, func() error { return errOutage })
	change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, sessions.Remove, change.Action)
	require.Zero(t, st.Len(), "who logs out is out")

	// And where it can't be ended, the client is not told that it was.
	tok = begin(t, m)
	s = load(t, m, tok)
	s.Destroy()
	st.before = on("delete", 1, func() error { return errOutage })
	change, err = m.Commit(t.Context(), s, sessions.Midway)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, sessions.Keep, change.Action)
	require.Equal(t, sessions.Remove, commit(t, m, s).Action)
	requireRejected(t, m, tok, sessions.Unknown)
}

// Where a reply is lost the request fails, whatever the store did; nothing is
// applied twice and no token goes out.
func TestLostReply(t *testing.T) {
	lost := func() error { return errOutage }
	t.Run("save", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		st.after = on("save", 1, lost)
		change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, sessions.Change{}, change)
		requireCount(t, m, tok, 2)
		_, err = m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		requireCount(t, m, tok, 2) // not applied twice
	})
	t.Run("destroy", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := load(t, m, begin(t, m))
		s.Destroy()
		st.after = on("delete", 1, lost)
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, sessions.Remove, commit(t, m, s).Action, "it can be tried again")
		require.Zero(t, st.Len())
	})
	t.Run("create", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := m.New()
		increment(t, s)
		st.after = on("save", 1, lost)
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		requireCount(t, m, commit(t, m, s).Token, 1)
	})
	t.Run("first step of regenerate", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		tok := begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		st.after = on("save", 1, lost)
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		requireCount(t, m, commit(t, m, s).Token, 1)
		requireRejected(t, m, tok, sessions.Unknown)
	})
	// Whether the old record is gone nobody knows; what is sure is that no
	// second one is left alive.
	t.Run("regenerate", func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := load(t, m, begin(t, m))
		require.NoError(t, s.Regenerate())
		st.after = on("delete", 1, lost)
		change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, sessions.Change{}, change)
		require.Zero(t, st.Len())
	})
}
