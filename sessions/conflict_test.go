package sessions_test

import (
	"context"
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

// The same change by another request is no reason to forget what else there is to
// write.
func TestSameChangeAndAnEdit(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	a, b := load(t, m, tok), load(t, m, tok)
	require.NoError(t, name.Set(a, "b"))
	require.NoError(t, name.Set(b, "b"))
	require.NoError(t, b.SetAuthenticated(time.Now()))
	commit(t, m, a)
	commit(t, m, b)
	require.True(t, load(t, m, tok).AuthenticatedWithin(time.Minute))
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
			rec, err := st.Store.Load(ctx, c.key, stores.Fresh)
			require.NoError(t, err)
			_, err = st.Store.Save(ctx, c.key, rec)
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
		first, second, third := load(t, m, tok), load(t, m, tok), load(t, m, tok)
		increment(t, first)
		increment(t, second)
		increment(t, third)
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
		_, err = m.Commit(t.Context(), third, sessions.BeforeResponse)
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
