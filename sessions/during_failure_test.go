package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// A logout while a commit is failing is of the session that the commit was for: what
// failed does not keep it from being carried out, nor from beginning anew.
func TestDestroyDuringAFailingCommit(t *testing.T) {
	for _, failure := range []error{stores.ErrTooLarge, errOutage} {
		synctest.Test(t, func(t *testing.T) {
			st, m := setup(t, sessions.Config{})
			tok := begin(t, m)
			s := load(t, m, tok)
			increment(t, s)
			destroyed := false
			st.before = down(failure, "save", "load")
			fails := st.before
			st.before = func(ctx context.Context, c call) error {
				if c.op == "save" && !destroyed {
					destroyed = true
					s.Destroy()
				}
				return fails(ctx, c)
			}
			_, err := m.Commit(t.Context(), s, sessions.Midway)
			require.ErrorIs(t, err, failure)
			st.before = nil
			c, err := m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			require.Equal(t, sessions.Remove, c.Action)
			require.NoError(t, name.Set(s, "Bob"))
			c, err = m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			require.Equal(t, sessions.Replace, c.Action)
			requireRejected(t, m, tok, sessions.Ended)
			require.Equal(t, 1, st.Len())
		})
	}
}

// Once it is known that the session has ended, what is set shows no longer than to the
// next commit.
func TestAfterTheEndNothingIsKept(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	st.end(t, tok.ID.Key())
	for range 2 {
		require.NoError(t, name.Set(s, "Bob"))
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, sessions.ErrEnded)
		v, err := name.Get(s)
		require.NoError(t, err)
		require.Equal(t, "Ada", v)
	}
}

// What is best effort is left out while the store is known to fail.
func TestNoTouchDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{CookieCache: time.Minute, CookieCacheFallback: time.Hour, Rolling: time.Hour})
		tok := begin(t, m)
		time.Sleep(30 * time.Minute)
		st.before = down(errOutage, "load", "save", "touch")
		for range 3 {
			s := load(t, m, tok)
			require.Equal(t, sessions.Keep, commit(t, m, s).Action)
		}
		require.EqualValues(t, 1, st.loads.Load())
		require.Zero(t, st.touches.Load())
	})
}

// A client that goes away while its request finds out whether the store is back says
// nothing of that: the others do not begin to wait again.
func TestACancelledReadDoesNotEndAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{CookieCache: time.Minute, CookieCacheFallback: time.Hour})
		tok := begin(t, m)
		time.Sleep(30 * time.Minute)
		st.before = func(ctx context.Context, _ call) error {
			select {
			case <-time.After(2 * time.Second):
				return errOutage
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		load(t, m, tok)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := m.Load(ctx, received(t, tok))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		load(t, m, tok)
		require.Zero(t, time.Since(began))
	})
}
