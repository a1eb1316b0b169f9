package sessions_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

// Who runs the program hears that a cookie is nearly full before the first user does, and
// once in a while.
func TestFullness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := new(journal)
		var told []sessions.Event
		note := func(_ context.Context, ev sessions.Event) { told = append(told, ev) }
		m := newManager(t, clientStore{}, sessions.Config{Room: 1033, Logger: slog.New(j), Hooks: sessions.Hooks{Created: note, Saved: note, Regenerated: note}})
		warnings := func() (n int) {
			for _, line := range j.lines {
				if strings.HasPrefix(line, "WARN a session takes most of its cookie") {
					require.Contains(t, line, " session=")
					require.Contains(t, line, " room=1000")
					n++
				}
			}
			j.forget()
			return n
		}
		s := m.New()
		write := func(n int) {
			t.Helper()
			require.NoError(t, name.Set(s, strings.Repeat("x", n)))
			c, err := m.Commit(t.Context(), s, sessions.Midway)
			require.NoError(t, err)
			last := told[len(told)-1]
			require.Equal(t, 1000, last.Room)
			require.Equal(t, len(c.Token.Payload), last.Size)
		}
		write(10)
		write(400)
		require.Less(t, told[len(told)-1].Size, 800)
		require.Zero(t, warnings())
		write(600)
		require.GreaterOrEqual(t, told[len(told)-1].Size, 800)
		require.Equal(t, 1, warnings())
		write(601)
		require.NoError(t, s.Regenerate())
		write(602)
		require.Zero(t, warnings(), "once")
		time.Sleep(time.Hour)
		write(603)
		require.Equal(t, 1, warnings(), "and once an hour")
		require.NoError(t, name.Set(s, strings.Repeat("x", 2000)))
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrTooLarge)
	})
	for what, store := range map[string]stores.Store{"server": newStore(t), "hybrid": must(hybridstore.New(clientStore{}, newStore(t)))} {
		j := new(journal)
		m := newManager(t, store, sessions.Config{Room: 1033, Logger: slog.New(j), Hooks: sessions.Hooks{Created: func(_ context.Context, ev sessions.Event) {
			require.Equal(t, what == "hybrid", ev.Room == 1000 && ev.Size > 800)
		}}})
		s := m.New()
		require.NoError(t, name.Set(s, strings.Repeat("x", 600)))
		commit(t, m, s)
		require.NotContains(t, strings.Join(j.lines, "\n"), "WARN")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Rolling: time.Hour})
		counts := func(want int) {
			t.Helper()
			n, err := m.Count(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		counts(0)
		tok := begin(t, m)
		begin(t, m)
		counts(2)
		s := load(t, m, tok)
		s.Destroy()
		commit(t, m, s)
		counts(2)
		time.Sleep(10 * time.Minute) // its stub
		counts(1)
		time.Sleep(time.Hour)
		counts(0)
	})
	_, err := newManager(t, clientStore{}, sessions.Config{}).Count(t.Context())
	require.ErrorIs(t, err, sessions.ErrConfig)
}
