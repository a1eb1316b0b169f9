package sessions_test

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const day = 24 * time.Hour

// bubble runs f in a synctest bubble, once with a store on a server and once
// with one that the client holds.
func bubble(t *testing.T, f func(t *testing.T, st stores.Store, ring encrypt.Encryptor)) {
	t.Run("server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newStore(t), newRing(t)) })
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, clientStore{}, newRing(t)) })
	})
}

// alive tells whether tok names a live session.
func alive(t testing.TB, m *sessions.Manager, tok token.Token) bool {
	t.Helper()
	s, err := m.Load(context.Background(), received(t, tok))
	if err == nil {
		require.Positive(t, s.Remaining())
		return true
	}
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)
	require.Contains(t, []sessions.Reason{sessions.Expired, sessions.Unknown}, r.Reason)
	return false
}

// requireEndsAt moves the time on to the last moment of the session and past it.
func requireEndsAt(t testing.TB, m *sessions.Manager, tok token.Token, at time.Time) {
	t.Helper()
	time.Sleep(time.Until(at) - time.Millisecond)
	require.True(t, alive(t, m, tok), "ended too early")
	time.Sleep(time.Millisecond)
	require.False(t, alive(t, m, tok), "lives too long")
}

// use makes one request that changes nothing, or something, and returns the
// client's token.
func use(t testing.TB, m *sessions.Manager, tok token.Token, change bool) token.Token {
	t.Helper()
	s := load(t, m, tok)
	if change {
		increment(t, s)
	}
	if c := commit(t, m, s); c.Action == sessions.Replace {
		return c.Token
	}
	return tok
}

func TestFixedLifetime(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: time.Hour, PersistentCookie: true})
		start := time.Now()
		tok := begin(t, m)
		for i := range 5 {
			time.Sleep(10 * time.Minute)
			tok = use(t, m, tok, i%2 == 0) // neither use nor writes lengthen it
		}
		s := load(t, m, tok)
		require.Equal(t, 10*time.Minute, s.Remaining())
		require.NoError(t, s.SetLabel("phone"))
		if c := commit(t, m, s); c.Action == sessions.Replace {
			require.Equal(t, 10*time.Minute, c.MaxAge)
			tok = c.Token
		}
		requireEndsAt(t, m, tok, start.Add(time.Hour))
	})
}

// A login starts the absolute lifetime anew: an old visitor's must not end at once.
func TestALoginStartsTheLifetimeAnew(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, c := range []sessions.Config{
			{Encryptor: ring, Lifetime: time.Hour, PersistentCookie: true},
			{Encryptor: ring, Lifetime: time.Hour, Rolling: time.Hour, PersistentCookie: true},
		} {
			m := newManager(t, st, c)
			tok := begin(t, m)
			time.Sleep(59 * time.Minute)
			s := load(t, m, tok)
			require.NoError(t, s.Regenerate())
			require.Equal(t, time.Hour, s.Remaining())
			require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
			change := commit(t, m, s)
			require.Equal(t, time.Hour, change.MaxAge)
			require.Equal(t, time.Hour, load(t, m, change.Token).Remaining())
			requireEndsAt(t, m, change.Token, time.Now().Add(time.Hour))
		}
	})
}

func TestRollingLifetime(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour})
		tok := begin(t, m)
		for i := range 20 {
			time.Sleep(50 * time.Minute)
			tok = use(t, m, tok, i%2 == 0)
		}
		requireEndsAt(t, m, tok, time.Now().Add(time.Hour))
	})
}

func TestAbsoluteCap(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, c := range []struct{ configured, want time.Duration }{{3 * time.Hour, 3 * time.Hour}, {0, 30 * day}} {
			m := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour, Lifetime: c.configured, PersistentCookie: true})
			end := time.Now().Add(c.want)
			tok := begin(t, m)
			for i := 0; time.Until(end) > time.Hour; i++ {
				time.Sleep(50 * time.Minute)
				tok = use(t, m, tok, i%2 == 0)
			}
			// The client and the store are told the same end.
			time.Sleep(5 * time.Minute)
			s := load(t, m, tok)
			increment(t, s)
			change := commit(t, m, s)
			if change.Action == sessions.Replace {
				tok = change.Token
				require.Equal(t, time.Until(end), change.MaxAge)
			}
			require.Equal(t, time.Until(end), s.Remaining())
			if st, ok := st.(*store); ok {
				require.WithinDuration(t, end, stored(t, st, tok).Expires, 0)
			}
			requireEndsAt(t, m, tok, end)
		}
	})
}

func TestLongRollingLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: 90 * day, Rolling: 90 * day})
		tok := begin(t, m)
		end := time.Now().Add(90 * day)
		time.Sleep(60 * day)
		requireEndsAt(t, m, use(t, m, tok, true), end)
	})
}

// Whether the browser keeps the cookie says nothing of how long the session lives.
func TestPersistentCookie(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		for _, persistent := range []bool{false, true} {
			want := time.Duration(0) // until the browser closes
			if persistent {
				want = 30 * day
			}
			m := newManager(t, st, sessions.Config{Encryptor: ring, PersistentCookie: persistent})
			end := time.Now().Add(30 * day)
			s := m.New()
			require.NoError(t, count.Set(s, 1))
			change := commit(t, m, s)
			require.Equal(t, want, change.MaxAge)
			time.Sleep(15 * day)
			requireEndsAt(t, m, use(t, m, change.Token, true), end)

			// "Remember me", or not: the session's own word counts for it, before
			// and after its login.
			for _, own := range []bool{true, false} {
				s = m.New()
				require.NoError(t, s.SetPersistent(own))
				want := time.Duration(0)
				if own {
					want = 30 * day
				}
				change = commit(t, m, s)
				require.Equal(t, want, change.MaxAge)
				s = load(t, m, change.Token)
				require.NoError(t, s.Regenerate())
				change = commit(t, m, s)
				require.Equal(t, want, change.MaxAge)

				s = load(t, m, change.Token)
				require.NoError(t, s.SetPersistent(!own))
				change = commit(t, m, s)
				require.Equal(t, sessions.Replace, change.Action, "the client must be told, also where the record is on a server")
				require.Equal(t, 30*day-want, change.MaxAge)
			}
		}
	})
}

// A session's own times are shorter than the configured ones, and end with the next
// login.
func TestLimit(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 10 * time.Hour, Rolling: 2 * time.Hour, PersistentCookie: true})
		limited := func(lifetime, idle time.Duration) (token.Token, *sessions.Session) {
			tok := begin(t, m)
			s := load(t, m, tok)
			require.NoError(t, s.Limit(lifetime, idle))
			change := commit(t, m, s)
			if lifetime > 0 {
				require.Equal(t, sessions.Replace, change.Action, "the cookie's Max-Age is shorter")
			}
			if change.Action == sessions.Replace {
				tok = change.Token
			}
			return tok, load(t, m, tok)
		}
		tok, s := limited(time.Hour, 0)
		require.Equal(t, time.Hour, s.Remaining())
		time.Sleep(50 * time.Minute)
		requireEndsAt(t, m, use(t, m, tok, true), time.Now().Add(10*time.Minute))

		tok, s = limited(0, 30*time.Minute)
		require.Equal(t, 30*time.Minute, s.Remaining())
		start := time.Now()
		for range 5 {
			time.Sleep(25 * time.Minute)
			tok = use(t, m, tok, false)
		}
		require.WithinDuration(t, start.Add(10*time.Hour), load(t, m, tok).Metadata().Deadline, 0)
		requireEndsAt(t, m, tok, time.Now().Add(30*time.Minute))

		tok, s = limited(3*time.Hour, time.Hour)
		require.Equal(t, time.Hour, s.Remaining())
		require.Equal(t, 3*time.Hour, time.Until(s.Metadata().Deadline))
		require.NoError(t, s.Limit(time.Hour, 0))
		require.NoError(t, s.Limit(2*time.Hour, 0))
		require.Equal(t, time.Hour, time.Until(s.Metadata().Deadline), "a later call does not lengthen it")
		s = load(t, m, tok)
		require.NoError(t, s.Regenerate())
		require.Equal(t, 2*time.Hour, s.Remaining())
		require.Equal(t, 10*time.Hour, time.Until(s.Metadata().Deadline))
		change := commit(t, m, s)
		requireEndsAt(t, m, change.Token, time.Now().Add(2*time.Hour))

		s = m.New()
		require.NoError(t, count.Set(s, 1))
		require.NoError(t, s.Limit(time.Minute, 0))
		requireEndsAt(t, m, commit(t, m, s).Token, time.Now().Add(time.Minute))

		for _, bad := range [][2]time.Duration{
			{-1, 0}, {0, -1}, {time.Second - 1, 0}, {0, time.Second - 1}, {10*time.Hour + 1, 0}, {0, 2*time.Hour + 1},
		} {
			require.ErrorIs(t, s.Limit(bad[0], bad[1]), sessions.ErrInvalid, "%v", bad)
		}
	})
	// Where sessions do not roll, one may.
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 10 * time.Hour})
		s := m.New()
		require.NoError(t, count.Set(s, 1))
		require.ErrorIs(t, s.Limit(0, 10*time.Hour+1), sessions.ErrInvalid)
		require.NoError(t, s.Limit(0, time.Hour))
		tok := commit(t, m, s).Token
		for range 5 {
			time.Sleep(50 * time.Minute)
			tok = use(t, m, tok, false)
		}
		requireEndsAt(t, m, tok, time.Now().Add(time.Hour))
	})
}

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

// A configuration that is shorter than it was applies to sessions that are out;
// one that is longer does not lengthen them.
func TestConfigurationChanges(t *testing.T) {
	fixed := func(d time.Duration) sessions.Config { return sessions.Config{Lifetime: d} }
	rolling := func(idle, cap time.Duration) sessions.Config {
		return sessions.Config{Rolling: idle, Lifetime: cap}
	}
	for what, c := range map[string]struct {
		was, is sessions.Config
		use     time.Duration // when it is used under the old configuration
		ends    time.Duration // after its begin
	}{
		"fixed, shorter":            {fixed(2 * time.Hour), fixed(time.Hour), 0, time.Hour},
		"fixed, longer":             {fixed(time.Hour), fixed(2 * time.Hour), 0, time.Hour},
		"idle, shorter":             {rolling(2*time.Hour, 0), rolling(time.Hour, 0), 30 * time.Minute, 90 * time.Minute},
		"idle, longer":              {rolling(time.Hour, 0), rolling(2*time.Hour, 0), 30 * time.Minute, 90 * time.Minute},
		"cap, shorter":              {rolling(2*time.Hour, 10*time.Hour), rolling(2*time.Hour, 3*time.Hour), 100 * time.Minute, 3 * time.Hour},
		"cap, longer":               {rolling(2*time.Hour, 3*time.Hour), rolling(2*time.Hour, 10*time.Hour), 100 * time.Minute, 3 * time.Hour},
		"idle and cap, shorter":     {rolling(12*time.Hour, 24*time.Hour), rolling(time.Hour, 12*time.Hour), time.Hour, 2 * time.Hour},
		"fixed to rolling":          {fixed(3 * time.Hour), rolling(time.Hour, 2*time.Hour), 0, 2 * time.Hour},
		"rolling to fixed":          {rolling(time.Hour, 10*time.Hour), fixed(2 * time.Hour), 30 * time.Minute, 90 * time.Minute},
		"default to fixed, shorter": {sessions.Config{}, fixed(time.Hour), 0, time.Hour},
		"fixed to default":          {fixed(time.Hour), sessions.Config{}, 0, time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
				c.was.Encryptor, c.is.Encryptor = ring, ring
				was, is := newManager(t, st, c.was), newManager(t, st, c.is)
				start := time.Now()
				tok := begin(t, was)
				if c.use > 0 {
					time.Sleep(c.use)
					tok = use(t, was, tok, false)
				}
				seen := time.Now()
				if last := load(t, is, tok).Metadata().LastSeen; !last.IsZero() { // a cap may hide it
					require.WithinDuration(t, seen, last, 0)
				}
				requireEndsAt(t, is, tok, start.Add(c.ends))
			})
		})
	}
}

// Use under the new configuration brings a session in line with it, but never
// past the deadline that it began with.
func TestConfigurationAppliesAtUse(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		was := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: 10 * time.Minute, Lifetime: 2 * time.Hour})
		is := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour, Lifetime: 10 * time.Hour})
		end := time.Now().Add(2 * time.Hour)
		tok := begin(t, was)
		time.Sleep(5 * time.Minute)
		tok = use(t, is, tok, false) // written, although nothing is due
		time.Sleep(55 * time.Minute)
		tok = use(t, is, tok, false)
		time.Sleep(30 * time.Minute)
		requireEndsAt(t, is, use(t, is, tok, true), end)
	})
}

func TestMetadata(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		m := newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: 3 * time.Hour, Rolling: time.Hour})
		start := time.Now()
		s := m.New()
		require.Equal(t, sessions.Metadata{Created: start, Deadline: start.Add(3 * time.Hour), Expires: start.Add(time.Hour)}, s.Metadata())
		require.Equal(t, time.Hour, s.Remaining())
		require.NoError(t, count.Set(s, 1))
		tok := commit(t, m, s).Token
		same := func(want, got sessions.Metadata) {
			t.Helper()
			require.WithinDuration(t, want.Created, got.Created, 0)
			require.WithinDuration(t, want.Deadline, got.Deadline, 0)
			require.WithinDuration(t, want.Expires, got.Expires, 0)
			require.WithinDuration(t, want.LastSeen, got.LastSeen, 0)
			require.Equal(t, want.Generation, got.Generation)
		}
		want := sessions.Metadata{Created: start, Deadline: start.Add(3 * time.Hour), Expires: start.Add(time.Hour), LastSeen: start, Generation: 1}
		same(want, s.Metadata())
		same(want, load(t, m, tok).Metadata())

		time.Sleep(30 * time.Minute)
		tok = use(t, m, tok, true)
		want.Expires, want.LastSeen, want.Generation = start.Add(90*time.Minute), start.Add(30*time.Minute), 2
		s = load(t, m, tok)
		same(want, s.Metadata())
		time.Sleep(20 * time.Minute)
		require.Equal(t, 40*time.Minute, s.Remaining())
		time.Sleep(time.Hour)
		require.Zero(t, s.Remaining())

		// After Destroy another session begins.
		s.Destroy()
		require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour})
		require.Zero(t, load(t, m, begin(t, m)).Metadata().LastSeen, "reads leave no trace")
	})
}

// timeless is a layout that has no place for metadata.
type timeless struct{ serialize.Serializer }

func (timeless) KeepsMarks() bool { return false }

func (timeless) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	for name, data := range env.Values.All() {
		dst = append(dst, byte(len(name)), byte(len(data)))
		dst = append(append(dst, name...), data...)
	}
	return dst, nil
}

func (timeless) Split(data []byte) (env envelope.Envelope, err error) {
	env.Values, err = envelope.NewValues(func(yield func(string, []byte) bool) {
		for len(data) > 0 {
			n, d := int(data[0])+2, int(data[1])
			if !yield(string(data[2:n]), data[n:n+d]) {
				return
			}
			data = data[n+d:]
		}
	})
	return env, err
}

func TestLayoutWithoutTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour, Serializer: timeless{serialize.JSON}})
		tok := begin(t, m)
		end := time.Now().Add(time.Hour)
		time.Sleep(10 * time.Minute)
		s := load(t, m, tok)
		require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
		requireCount(t, m, use(t, m, tok, true), 2)
		requireEndsAt(t, m, tok, end) // the store keeps it
	})
}

// dated is a layout that has a place for one time.
type dated struct {
	timeless
	time func(*envelope.Metadata) *time.Time
}

func (l dated) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	at := *l.time(&env.Metadata)
	return l.timeless.Join(binary.BigEndian.AppendUint64(dst, uint64(at.UnixMilli())), env)
}

func (l dated) Split(data []byte) (envelope.Envelope, error) {
	env, err := l.timeless.Split(data[8:])
	*l.time(&env.Metadata) = time.UnixMilli(int64(binary.BigEndian.Uint64(data)))
	return env, err
}

// Without a deadline the configuration says when a session ends, also when the
// configuration has become another.
func TestLayoutWithCreatedAlone(t *testing.T) {
	layout := dated{timeless{serialize.JSON}, func(meta *envelope.Metadata) *time.Time { return &meta.Created }}
	for _, rolling := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := sessions.Config{Lifetime: 2 * time.Hour, Serializer: layout, Encryptor: newRing(t)}
			if rolling {
				c.Lifetime, c.Rolling = 3*time.Hour, 2*time.Hour
			}
			st, m := setup(t, c)
			began := time.Now()
			tok := begin(t, m)
			time.Sleep(time.Hour)
			tok = use(t, m, tok, true)
			requireCount(t, m, tok, 2)
			require.Equal(t, began.UnixMilli(), load(t, m, tok).Metadata().Created.UnixMilli())
			end := began.Add(2 * time.Hour)
			if rolling {
				end = began.Add(3 * time.Hour)
			}
			require.Equal(t, end.UnixMilli(), load(t, m, tok).Metadata().Deadline.UnixMilli())

			if c.Lifetime = 90 * time.Minute; rolling {
				c.Rolling = 90 * time.Minute
			}
			shorter, err := sessions.NewManager(st, c)
			require.NoError(t, err)
			requireEndsAt(t, shorter, tok, began.Add(90*time.Minute))
		})
	}
}

// A deadline holds although nothing tells when the session began.
func TestLayoutWithDeadlineAlone(t *testing.T) {
	layout := dated{timeless{serialize.JSON}, func(meta *envelope.Metadata) *time.Time { return &meta.Deadline }}
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour, Serializer: layout})
		tok := begin(t, m)
		end := time.Now().Add(time.Hour)
		time.Sleep(30 * time.Minute)
		tok = use(t, m, tok, true)
		require.Equal(t, end.UnixMilli(), load(t, m, tok).Metadata().Deadline.UnixMilli())
		requireEndsAt(t, m, tok, end)
	})
}

func TestInvalidConfig(t *testing.T) {
	ring := newRing(t)
	server := newStore(t) // outside the process
	for what, c := range map[string]struct {
		store stores.Store
		c     sessions.Config
		want  []string
	}{
		"no store":                  {nil, sessions.Config{}, []string{"store is nil", "memstore.New"}},
		"a nil pointer":             {(*store)(nil), sessions.Config{}, []string{"store is nil", "constructor"}},
		"a store of nothing":        {placed{Name: "empty"}, sessions.Config{}, []string{"empty", "Place"}},
		"no encryptor":              {server, sessions.Config{}, []string{"WithEncryptor", "WithoutEncryption"}},
		"no encryptor, client":      {clientStore{}, sessions.Config{}, []string{"client", "add WithEncryptor"}},
		"waived, client":            {clientStore{}, sessions.Config{WithoutEncryption: true}, []string{"client", "add WithEncryptor"}},
		"waived, both":              {placed{Name: "both", Server: server, Cookie: clientStore{}}, sessions.Config{WithoutEncryption: true}, []string{"both", "add WithEncryptor"}},
		"both":                      {server, sessions.Config{Encryptor: ring, WithoutEncryption: true}, []string{"WithEncryptor", "WithoutEncryption", "leave one out"}},
		"readable":                  {placed{Name: "readable", Cookie: clientStore{}, Signed: true}, sessions.Config{Encryptor: ring}, []string{"WithEncryptor", "cookiestore.Sealed"}},
		"negative lifetime":         {nil, sessions.Config{Lifetime: -1}, []string{"WithLifetime(-1ns)", "leave it out"}},
		"short lifetime":            {nil, sessions.Config{Lifetime: time.Second - 1}, []string{"WithLifetime(999.999999ms)", "longer"}},
		"long lifetime":             {nil, sessions.Config{Lifetime: 400*day + 1}, []string{"WithLifetime(", "400 days", "shorter"}},
		"negative idle":             {nil, sessions.Config{Rolling: -1}, []string{"WithRolling(-1ns)", "leave it out"}},
		"short idle":                {nil, sessions.Config{Rolling: time.Second - 1}, []string{"WithRolling(999.999999ms)", "longer"}},
		"lifetime under idle":       {nil, sessions.Config{Lifetime: time.Hour, Rolling: 2 * time.Hour}, []string{"WithRolling(2h0m0s)", "WithLifetime(1h0m0s)", "lengthen"}},
		"default under idle":        {nil, sessions.Config{Rolling: 31 * day}, []string{"WithRolling(744h0m0s)", "WithLifetime(720h0m0s)", "lengthen"}},
		"negative touch":            {nil, sessions.Config{Rolling: time.Hour, TouchInterval: -1}, []string{"WithTouchInterval(-1ns)", "use 0"}},
		"touch of fixed":            {nil, sessions.Config{Lifetime: time.Hour, TouchInterval: time.Minute}, []string{"WithTouchInterval", "WithRolling", "leave"}},
		"touch as long as the idle": {nil, sessions.Config{Rolling: time.Hour, TouchInterval: time.Hour}, []string{"WithTouchInterval(1h0m0s)", "WithRolling(1h0m0s)", "shorten"}},
		"negative commit timeout":   {nil, sessions.Config{CommitTimeout: -1}, []string{"WithCommitTimeout(-1ns)", "leave it out"}},
		"long commit timeout":       {nil, sessions.Config{CommitTimeout: time.Minute + 1}, []string{"WithCommitTimeout(", "shorten"}},
		"short stubs":               {nil, sessions.Config{StubLifetime: time.Minute - 1}, []string{"WithStubLifetime(", "leave it out"}},
		"negative stubs":            {nil, sessions.Config{StubLifetime: -1}, []string{"WithStubLifetime(-1ns)", "leave it out"}},
		"negative cache":            {nil, sessions.Config{Encryptor: ring, CookieCache: -1}, []string{"WithCookieCache", "leave them out"}},
		"long cache":                {nil, sessions.Config{Encryptor: ring, CookieCache: time.Hour + 1}, []string{"WithCookieCache(", "an hour", "shorten"}},
		"fallback alone":            {nil, sessions.Config{Encryptor: ring, CookieCacheFallback: time.Hour}, []string{"WithCookieCacheFallback", "add WithCookieCache"}},
		"fallback under cache":      {nil, sessions.Config{Encryptor: ring, CookieCache: time.Hour, CookieCacheFallback: time.Minute}, []string{"WithCookieCacheFallback(1m0s)", "WithCookieCache(1h0m0s)", "lengthen"}},
		"fallback over idle":        {nil, sessions.Config{Encryptor: ring, Rolling: time.Hour, CookieCache: time.Minute, CookieCacheFallback: time.Hour + 1}, []string{"WithCookieCacheFallback(", "1h0m0s", "shorten"}},
		"cache in the open":         {nil, sessions.Config{WithoutEncryption: true, CookieCache: time.Minute}, []string{"WithCookieCache", "add WithEncryptor"}},
		"cache of the client's own": {clientStore{}, sessions.Config{Encryptor: ring, CookieCache: time.Minute}, []string{"WithCookieCache", "client"}},
		"limit without owners":      {nil, sessions.Config{Encryptor: ring, MaxSessionsPerOwner: 1}, []string{"WithMaxSessionsPerOwner", "add WithOwners"}},
		"negative limit":            {nil, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}, MaxSessionsPerOwner: -1}, []string{"WithMaxSessionsPerOwner(-1)", "leave it out"}},
		"owners of a cookie":        {clientStore{}, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}}, []string{"WithOwners", "client"}},
		"owners without an index":   {placed{Name: "plain", Server: struct{ stores.Server }{server}}, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}}, []string{"WithOwners", "plain"}},
		"a zero owners' key":        {nil, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{{}}}, []string{"WithOwners"}},
		"a zero key of signed IDs":  {nil, sessions.Config{Encryptor: ring, SignedIDs: []encrypt.Key{{}}}, []string{"WithSignedIDs"}},
	} {
		t.Run(what, func(t *testing.T) {
			if c.store == nil && what != "no store" {
				if c.store = server; c.c.Encryptor == nil {
					c.c.WithoutEncryption = true
				}
			}
			m, err := sessions.NewManager(c.store, c.c)
			require.ErrorIs(t, err, sessions.ErrConfig)
			require.Nil(t, m)
			for _, text := range c.want {
				require.ErrorContains(t, err, text)
			}
		})
	}
	inProcess, err := memstore.New()
	require.NoError(t, err)
	_, err = sessions.NewManager(inProcess, sessions.Config{})
	require.NoError(t, err, "nothing leaves the process")
	for what, c := range map[string]sessions.Config{
		"waived":                   {WithoutEncryption: true},
		"400 days":                 {Encryptor: ring, Lifetime: 400 * day},
		"400 days, rolling":        {Encryptor: ring, Lifetime: 400 * day, Rolling: 400 * day},
		"a second, rolling":        {Encryptor: ring, Rolling: time.Second},
		"as long as the lifetime":  {Encryptor: ring, Lifetime: time.Hour, Rolling: time.Hour},
		"a commit of a minute":     {Encryptor: ring, CommitTimeout: time.Minute},
		"stubs for a minute":       {Encryptor: ring, StubLifetime: time.Minute},
		"a cache of an hour":       {Encryptor: ring, CookieCache: time.Hour},
		"a fallback as long as it": {Encryptor: ring, CookieCache: time.Hour, CookieCacheFallback: 30 * day},
	} {
		_, err := sessions.NewManager(server, c)
		require.NoError(t, err, what)
	}
}

// placed is a store that is described by nothing else.
type placed stores.Place

func (p placed) Place() stores.Place { return stores.Place(p) }
