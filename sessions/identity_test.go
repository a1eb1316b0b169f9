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

	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

func TestRegenerateKeepsContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Lifetime: time.Hour, PersistentCookie: true})
		tok := begin(t, m)
		time.Sleep(20 * time.Minute)

		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		id := s.ID()
		require.False(t, id.Equal(tok.ID))
		require.False(t, s.IsNew())
		increment(t, s)
		change := commit(t, m, s)
		require.Equal(t, sessions.Replace, change.Action)
		require.True(t, change.Token.ID.Equal(id))
		require.True(t, s.ID().Equal(id))
		require.Equal(t, time.Hour, change.MaxAge)

		s = load(t, m, change.Token)
		require.EqualValues(t, 2, s.Metadata().Generation)
		require.Equal(t, time.Hour, s.Remaining())
		requireCount(t, m, change.Token, 2)
		text, err := name.Get(s)
		require.NoError(t, err)
		require.Equal(t, "Ada", text)
		requireRejected(t, m, tok, sessions.Replaced)
		require.Equal(t, 1, st.Len())
	})
}

// A client-held session moves too: what was sealed for the old ID does not open
// under the new one.
func TestRegenerateClientHeld(t *testing.T) {
	m := newManager(t, clientStore{}, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	require.NoError(t, s.Regenerate())
	change := commit(t, m, s)
	require.False(t, change.Token.ID.Equal(tok.ID))
	requireCount(t, m, change.Token, 1)
	for _, mixed := range []token.Token{
		{ID: tok.ID, Payload: change.Token.Payload},
		{ID: change.Token.ID, Payload: tok.Payload},
	} {
		requireRejected(t, m, mixed, sessions.Tampered)
	}
}

func TestRegenerateLeavesNothingBehind(t *testing.T) {
	for what, c := range map[string]struct {
		do   func(*testing.T, *sessions.Manager, *sessions.Session)
		left int
	}{
		"twice": {func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
			require.NoError(t, s.Regenerate())
			require.NoError(t, s.Regenerate())
		}, 1},
		"twice with a commit between": {func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
			require.NoError(t, s.Regenerate())
			_, err := m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			require.NoError(t, s.Regenerate())
		}, 1},
		"then destroyed": {func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
			require.NoError(t, s.Regenerate())
			s.Destroy()
		}, 0},
		"committed, then destroyed": {func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
			require.NoError(t, s.Regenerate())
			_, err := m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			s.Destroy()
		}, 0},
		"destroyed, then begun and regenerated": {func(t *testing.T, m *sessions.Manager, s *sessions.Session) {
			s.Destroy()
			require.NoError(t, count.Set(s, 3))
			require.NoError(t, s.Regenerate())
		}, 1},
	} {
		t.Run(what, func(t *testing.T) {
			st, m := setup(t, sessions.Config{})
			tok := begin(t, m)
			s := load(t, m, tok)
			c.do(t, m, s)
			change := commit(t, m, s)
			require.Equal(t, c.left, st.Len())
			_, err := m.Load(t.Context(), tok)
			var r *sessions.RejectedError
			require.ErrorAs(t, err, &r)
			if c.left > 0 {
				require.True(t, change.Token.ID.Equal(s.ID()))
				load(t, m, change.Token)
			}
		})
	}
}

func TestRegenerateRacingSetKeepsTheChange(t *testing.T) {
	// The other request commits before the new record is saved, or between
	// that and the end of the old one.
	for _, op := range []string{"save", "move"} {
		t.Run(op, func(t *testing.T) {
			var ev events
			st, m, process := processes(t, sessions.Config{Hooks: ev.hooks()})
			tok := begin(t, m)
			s, other := load(t, m, tok), load(t, process, tok)
			require.NoError(t, s.Regenerate())
			increment(t, s)
			increment(t, other)
			require.NoError(t, name.Set(other, "Grace"))
			var rev stores.Revision
			st.before = func(ctx context.Context, c call) error {
				if c.op == op && rev == "" {
					rev = "done"
					commit(t, process, other)
				}
				return nil
			}
			change := commit(t, m, s)
			requireCount(t, m, change.Token, 3)
			text, err := name.Get(load(t, m, change.Token))
			require.NoError(t, err)
			require.Equal(t, "Grace", text)
			require.Equal(t, 1, st.Len())
			require.NotEmpty(t, ev.of("conflict"))
			require.Len(t, ev.of("regenerated"), 1)
			require.Equal(t, change.Token.ID.Key(), ev.of("regenerated")[0].Key)
		})
	}
}

func TestDestroyBetweenTheStepsOfRegenerate(t *testing.T) {
	for what, c := range map[string]struct {
		op    string
		after bool
	}{
		"before the new record":    {"save", false},
		"after the new record":     {"save", true},
		"before the old one's end": {"move", false},
	} {
		t.Run(what, func(t *testing.T) {
			st, m, process := processes(t, sessions.Config{})
			tok := begin(t, m)
			s, other := load(t, m, tok), load(t, process, tok)
			require.NoError(t, s.Regenerate())
			increment(t, s)
			other.Destroy()
			destroy := on(c.op, 1, func() error {
				st.before, st.after = nil, nil
				commit(t, process, other)
				return nil
			})
			if c.after {
				st.after = destroy
			} else {
				st.before = destroy
			}
			change, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded)
			require.Equal(t, sessions.Change{}, change)
			require.Zero(t, st.Len())
		})
	}
}

// After a conflict too: the record that is to be replaced goes while the
// regeneration replays.
func TestDestroyBetweenTheReplaysOfRegenerate(t *testing.T) {
	for _, c := range []struct {
		op  string
		nth int32
	}{{"load", 1}, {"save", 2}, {"move", 2}} {
		t.Run(fmt.Sprint(c.op, c.nth), func(t *testing.T) {
			st, m, process := processes(t, sessions.Config{})
			tok := begin(t, m)
			s, changer, ender := load(t, m, tok), load(t, m, tok), load(t, process, tok)
			increment(t, changer)
			commit(t, m, changer)
			require.NoError(t, s.Regenerate())
			ender.Destroy()
			st.before = on(c.op, c.nth, func() error {
				st.before = nil
				commit(t, process, ender)
				return nil
			})
			_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded)
			require.Zero(t, st.Len())
		})
	}
}

// With goroutines: whichever of the two comes first, nothing is left alive. A logout
// that comes later than the move follows it.
func TestRegenerateRacingDestroy(t *testing.T) {
	ended := 0
	for range 300 {
		st, m := setup(t, sessions.Config{WithoutEncryption: true})
		tok := begin(t, m)
		s, other := load(t, m, tok), load(t, m, tok)
		require.NoError(t, s.Regenerate())
		other.Destroy()
		var change sessions.Change
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { change, err = m.Commit(context.Background(), s, sessions.BeforeResponse) })
		wg.Go(func() {
			if _, err := m.Commit(context.Background(), other, sessions.BeforeResponse); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		require.Zero(t, st.Len())
		if err != nil {
			ended++
			require.ErrorIs(t, err, sessions.ErrEnded)
			require.Equal(t, sessions.Change{}, change)
			requireRejected(t, m, tok, sessions.Ended)
			continue
		}
		requireRejected(t, m, tok, sessions.Replaced)
		requireRejected(t, m, change.Token, sessions.Ended)
	}
	t.Logf("the logout was first in %d of 300", ended)
}

func TestTwoRegenerationsOfOneSession(t *testing.T) {
	for range 100 {
		st, m := setup(t, sessions.Config{WithoutEncryption: true})
		tok := begin(t, m)
		var changes [2]sessions.Change
		var errs [2]error
		two := []*sessions.Session{load(t, m, tok), load(t, m, tok)}
		var wg sync.WaitGroup
		for i, s := range two {
			require.NoError(t, s.Regenerate())
			wg.Go(func() { changes[i], errs[i] = m.Commit(context.Background(), s, sessions.BeforeResponse) })
		}
		wg.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		require.NoError(t, errs[winner])
		require.ErrorIs(t, errs[1-winner], sessions.ErrEnded)
		require.Equal(t, sessions.Change{}, changes[1-winner])
		require.Equal(t, 1, st.Len())
		requireCount(t, m, changes[winner].Token, 1)
	}
}

func TestRegenerateFails(t *testing.T) {
	for what, c := range map[string]struct {
		before func(context.Context, call) error
		want   error
	}{
		"the new record is not saved": {down(errOutage, "save"), stores.ErrUnavailable},
		"the old record is not ended": {down(errOutage, "move"), stores.ErrUnavailable},
		"no time left":                {hangOnce("move"), stores.ErrUnavailable},
		"too large":                   {on("save", 1, func() error { return stores.ErrTooLarge }), stores.ErrTooLarge},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ev events
				st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
				tok := begin(t, m)
				s := load(t, m, tok)
				require.NoError(t, s.Regenerate())
				increment(t, s)
				st.before = c.before
				change, err := m.Commit(t.Context(), s, sessions.Midway)
				require.ErrorIs(t, err, c.want)
				require.Equal(t, sessions.Change{}, change)
				st.before = nil
				require.Equal(t, 1, st.Len(), "the new record is left behind")
				requireCount(t, m, tok, 1)
				told := "store error"
				if what == "too large" {
					told = "refused"
				}
				require.Len(t, ev.of(told), 1)

				// The next request can.
				s = load(t, m, tok)
				require.NoError(t, s.Regenerate())
				increment(t, s)
				change = commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action)
				requireCount(t, m, change.Token, 2)
				requireRejected(t, m, tok, sessions.Replaced)
				require.Equal(t, 1, st.Len())
			})
		})
	}
}

// hangOnce hangs at the first call of op.
func hangOnce(op string) func(context.Context, call) error {
	forever := hang(op)
	done := false
	return func(ctx context.Context, c call) error {
		if done || c.op != op {
			return nil
		}
		done = true
		return forever(ctx, c)
	}
}

// 32 slow requests are on their way when the user logs out. None of them brings
// the session back, and none touches the login that was made meanwhile.
func TestLogoutDuringSlowRequests(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	slow := make([]*sessions.Session, 32)
	for i := range slow {
		slow[i] = load(t, m, tok)
		switch i % 3 {
		case 0:
			increment(t, slow[i])
		case 1:
			require.NoError(t, sessions.Key[int](fmt.Sprint("key", i)).Set(slow[i], i))
		case 2:
			require.NoError(t, slow[i].Regenerate())
		}
	}
	logout := load(t, m, tok)
	logout.Destroy()
	require.Equal(t, sessions.Remove, commit(t, m, logout).Action)
	login := begin(t, m)

	var wg sync.WaitGroup
	for _, s := range slow {
		wg.Go(func() {
			change, err := m.Commit(context.Background(), s, sessions.BeforeResponse)
			if !errors.Is(err, sessions.ErrEnded) || change.Action != sessions.Keep {
				t.Errorf("%v, %v", change.Action, err)
			}
		})
	}
	wg.Wait()
	requireRejected(t, m, tok, sessions.Ended)
	require.Equal(t, 1, st.Len())
	requireCount(t, m, login, 1)
}

// The same while the requests commit.
func TestLogoutAmongRequests(t *testing.T) {
	for range 20 {
		st, m := setup(t, sessions.Config{WithoutEncryption: true, CommitTimeout: time.Minute})
		tok := begin(t, m)
		requests := make([]*sessions.Session, 32)
		for i := range requests {
			if requests[i] = load(t, m, tok); i == 16 {
				requests[i].Destroy()
			} else {
				increment(t, requests[i])
			}
		}
		var wg sync.WaitGroup
		for _, s := range requests {
			wg.Go(func() {
				_, err := m.Commit(context.Background(), s, sessions.BeforeResponse)
				if err != nil && !errors.Is(err, sessions.ErrEnded) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Zero(t, st.Len())
	}
}

func TestUnknownIDIsNeverAdopted(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	planted := token.Token{ID: token.NewID()}
	requireRejected(t, m, planted, sessions.Unknown)
	_, err := m.Load(t.Context(), token.Token{})
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)

	s := m.New()
	require.NoError(t, count.Set(s, 1))
	require.False(t, s.ID().Equal(planted.ID))
	change := commit(t, m, s)
	require.False(t, change.Token.ID.Equal(planted.ID))
	requireRejected(t, m, planted, sessions.Unknown)
	require.Equal(t, 1, st.Len())

	client := newManager(t, clientStore{}, sessions.Config{})
	requireRejected(t, client, planted, sessions.Unknown)
	planted.Payload = payload.Encode([]byte("planted"))
	requireRejected(t, client, planted, sessions.Tampered)
}

// What stands behind the ID of a session on a server is the client's choice. It
// is not looked at, and not handed back when the token is written again.
func TestPayloadOfAServerHeldSessionIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Rolling: time.Hour, PersistentCookie: true})
		tok := begin(t, m)
		tok.Payload = "c29tZXRoaW5n"
		time.Sleep(10 * time.Minute)
		s := load(t, m, tok)
		again, ok := m.Token(s)
		require.True(t, ok)
		require.Empty(t, again.Token.Payload)
		change := commit(t, m, s) // a touch is due
		require.Equal(t, sessions.Replace, change.Action)
		require.Empty(t, change.Token.Payload)
	})
}

func TestNewSessionsDiffer(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	a, b := m.New(), m.New()
	require.False(t, a.ID().Equal(b.ID()))
	require.True(t, a.ID().Equal(a.ID()))
}

func TestRegenerateTooLate(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	for _, s := range []*sessions.Session{load(t, m, tok), m.New()} {
		commit(t, m, s)
		require.ErrorIs(t, s.Regenerate(), sessions.ErrTooLate)
	}
	s := load(t, m, tok)
	_, err := m.Commit(t.Context(), s, sessions.AfterResponse) // loaded after the response began
	require.NoError(t, err)
	require.ErrorIs(t, s.Regenerate(), sessions.ErrTooLate)
	requireCount(t, m, tok, 1)
	require.Equal(t, 1, st.Len())
}

// A hook may look at the session that it is told of.
func TestHooksHoldNoLock(t *testing.T) {
	var s *sessions.Session
	told := 0
	look := func(context.Context, sessions.Event) {
		told++
		if s != nil {
			s.ID()
			s.Metadata()
			name.Get(s)
		}
	}
	st, m := setup(t, sessions.Config{Hooks: sessions.Hooks{
		Loaded: look, Created: look, Saved: look, Conflict: look, Regenerated: look, Destroyed: look, Revoked: look, LateChange: look, StoreError: look, Ended: look,
	}})
	within(t, func() {
		tok := begin(t, m)
		s = load(t, m, tok)
		increment(t, s)
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.NoError(t, err)
		require.NoError(t, s.Regenerate())
		commit(t, m, s)
		s.Destroy()
		require.ErrorIs(t, count.Set(s, 1), sessions.ErrTooLate)
		_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
		require.ErrorIs(t, err, sessions.ErrTooLate)
	})
	require.Equal(t, 6, told)
	require.Zero(t, st.Len())
}
