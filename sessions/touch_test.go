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

func TestTouch(t *testing.T) {
	for what, c := range map[string]struct {
		lifetime, configured, want time.Duration
	}{
		"a twentieth":    {time.Hour, 0, 3 * time.Minute},
		"five minutes":   {day, 0, 5 * time.Minute},
		"configured":     {time.Hour, 20 * time.Minute, 20 * time.Minute},
		"every response": {time.Hour, time.Nanosecond, time.Millisecond},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ev events
				st, m := setup(t, sessions.Config{Rolling: c.lifetime, TouchInterval: c.configured, PersistentCookie: true, Hooks: ev.hooks()})
				tok := begin(t, m)
				saves, start := st.saves.Load(), time.Now()
				rec := stored(t, st, tok)
				var touched []time.Duration
				step := c.want / 4
				if step == 0 {
					step = c.want
				}
				for time.Since(start) < 12*step {
					time.Sleep(step)
					s := load(t, m, tok)
					before := st.touches.Load()
					change := commit(t, m, s)
					if st.touches.Load() == before {
						require.Equal(t, sessions.Change{}, change)
						continue
					}
					touched = append(touched, time.Since(start))
					require.Equal(t, sessions.Change{}, change, "the cookie's Max-Age is the deadline's")
					require.Equal(t, c.lifetime, s.Remaining())
					commit(t, m, s) // once a request
				}
				require.Equal(t, c.want, touched[0])
				for i := range touched[1:] {
					require.Equal(t, c.want, touched[i+1]-touched[i])
				}
				require.Len(t, ev.of("touched"), len(touched))
				require.Equal(t, saves, st.saves.Load())
				after := stored(t, st, tok)
				require.Equal(t, rec.Data, after.Data, "a touch rewrites data")
				require.True(t, after.Expires.After(rec.Expires))
			})
		})
	}
}

// So it is where the client does not count the time.
func TestTouchOfACookieWithoutMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Rolling: time.Hour})
		tok := begin(t, m)
		time.Sleep(10 * time.Minute)
		require.Equal(t, sessions.Change{}, commit(t, m, load(t, m, tok)))
		require.EqualValues(t, 1, st.touches.Load())
		require.Equal(t, time.Hour, load(t, m, tok).Remaining())
	})
}

// A lifetime that is no whole number of milliseconds must not look like another
// configuration at every request.
func TestOddLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Rolling: time.Hour / 7})
		tok := begin(t, m)
		writes := st.writes()
		require.Equal(t, sessions.Change{}, commit(t, m, load(t, m, tok)))
		require.Equal(t, writes, st.writes())
	})
}

// A change within the touch interval does not move the expiry on; after it the
// save does, and no touch is needed.
func TestSaveExtendsLikeTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{Rolling: time.Hour, PersistentCookie: true})
		tok := begin(t, m)
		time.Sleep(time.Minute)
		s := load(t, m, tok)
		increment(t, s)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Equal(t, 59*time.Minute, load(t, m, tok).Remaining())
		time.Sleep(10 * time.Minute)
		s = load(t, m, tok)
		increment(t, s)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Equal(t, time.Hour, load(t, m, tok).Remaining())
		require.Zero(t, st.touches.Load())
	})
}

func TestTouchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		st, m := setup(t, sessions.Config{Rolling: time.Hour, Hooks: ev.hooks()})
		tok := begin(t, m)
		time.Sleep(30 * time.Minute)

		st.before = on("touch", 1, func() error { return errOutage })
		s := load(t, m, tok)
		require.Equal(t, sessions.Change{}, commit(t, m, s), "a request that only reads must not fail for it")
		require.Len(t, ev.of("store error"), 1)
		require.ErrorIs(t, ev.of("store error")[0].Err, stores.ErrUnavailable)
		require.Equal(t, tok.ID.Key(), ev.of("store error")[0].Key)

		// A conflict is no failure: the other write was as good.
		st.before = nil
		s, other := load(t, m, tok), load(t, m, tok)
		increment(t, other)
		commit(t, m, other)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Len(t, ev.of("store error"), 1)
		require.Empty(t, ev.of("touched"))

		// Nor is one with a logout, which it does not undo.
		time.Sleep(30 * time.Minute)
		s, other = load(t, m, tok), load(t, m, tok)
		other.Destroy()
		commit(t, m, other)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
		require.Empty(t, ev.of("touched"))
		require.Zero(t, st.Len())
	})
}

func TestExpiredDuringTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for what, change := range map[string]func(*sessions.Session){
			"change":     func(s *sessions.Session) { count.Set(s, 2) },
			"regenerate": func(s *sessions.Session) { s.Regenerate() },
		} {
			m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: time.Hour})
			tok := begin(t, m)
			s := load(t, m, tok)
			change(s)
			time.Sleep(time.Hour)
			got, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded, what)
			require.Equal(t, sessions.Change{}, got)
			require.False(t, alive(t, m, tok))
		}
	})
}
