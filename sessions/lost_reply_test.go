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

// Where more processes have written meanwhile than a record has room for marks, the
// absence of one's own proves nothing.
func TestLostReplyAmongManyProcesses(t *testing.T) {
	for others, want := range map[int]error{40: nil, 70: stores.ErrUnavailable} {
		ring := newRing(t)
		st, m := setup(t, sessions.Config{Encryptor: ring})
		tok := begin(t, m)
		s := load(t, m, tok)
		increment(t, s)
		st.after = on("save", 1, func() error {
			for range others {
				other := newManager(t, st, sessions.Config{Encryptor: ring})
				s := load(t, other, tok)
				increment(t, s)
				commit(t, other, s)
			}
			return errOutage
		})
		_, err := m.Commit(context.Background(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, want)
		requireCount(t, m, tok, 2+others)
	}
}

// A record that is gone without a trace has ended, and nobody waits for it.
func TestChangeOfARecordThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		s := load(t, m, begin(t, m))
		increment(t, s)
		st.before = func(_ context.Context, c call) error {
			if c.op == "load" {
				return stores.ErrNotFound
			}
			return stores.ErrConflict
		}
		start := time.Now()
		_, err := m.Commit(context.Background(), s, sessions.Midway)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.Less(t, time.Since(start), time.Second)
	})
}

// Where a record does not open that was perhaps written, nothing else is written.
func TestLostReplyAndARecordThatDoesNotOpen(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	increment(t, s)
	st.after = on("save", 1, func() error {
		rec := stores.Record{Data: []byte("\x01garbage"), Expires: time.Now().Add(time.Hour)}
		require.NoError(t, st.Store.Put(t.Context(), tok.ID.Key(), rec))
		return errOutage
	})
	_, err := m.Commit(t.Context(), s, sessions.Midway)
	require.ErrorIs(t, err, sessions.ErrUnreadable)
	saves := st.saves.Load()
	increment(t, s)
	_, err = m.Commit(t.Context(), s, sessions.Midway)
	require.ErrorIs(t, err, sessions.ErrUnreadable)
	require.Equal(t, saves, st.saves.Load())
}
