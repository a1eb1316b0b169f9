package sessions_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// polled is a store that loads many records in one call, and counts those calls.
type polled struct {
	*store
	many atomic.Int32
	keys atomic.Int32 // of the last
	down atomic.Bool  // as the looks find it
}

func (b *polled) Place() stores.Place { return stores.Place{Name: "memory", Server: b} }

func (b *polled) LoadMany(ctx context.Context, keys []stores.Key) (recs []stores.Record, err error) {
	b.many.Add(1)
	b.keys.Store(int32(len(keys)))
	if b.down.Load() {
		return nil, errOutage
	}
	err = b.around(ctx, call{op: "many"}, func() error {
		recs, err = loadMany(ctx, b.Store, keys)
		return err
	})
	return recs, err
}

func (b *polled) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	return saveMany(ctx, b.store, keys, recs)
}

// watching are two processes with a store that counts.
type watching struct {
	*testing.T
	store *polled
	here  *sessions.Manager
	away  *sessions.Manager
}

func newWatching(t *testing.T, c sessions.Config) *watching {
	c.Encryptor, c.Owners = newRing(t), []encrypt.Key{encrypt.GenerateKey()}
	st := &polled{store: newStore(t)}
	w := &watching{t, st, newManager(t, st, c), newManager(t, st, c)}
	t.Cleanup(func() {
		time.Sleep(time.Second) // a look may be under way, at a store that takes its time
		synctest.Wait()
		n, streams := w.here.Watching()
		require.Zero(t, n+streams, "something is watched that nobody needs")
	})
	return w
}

// open opens a stream of tok's session in this process.
func (w *watching) open(tok token.Token) context.Context {
	w.Helper()
	ctx, err := load(w, w.here, tok).Watch(w.Context())
	require.NoError(w, err)
	require.NoError(w, ctx.Err())
	return ctx
}

// login returns a new session of user.
func (w *watching) login(m *sessions.Manager, user string) token.Token {
	w.Helper()
	s := m.New()
	require.NoError(w, s.SetOwner(w.Context(), user))
	return commit(w, m, s).Token
}

// change changes a session as another request does.
func (w *watching) change(m *sessions.Manager, tok token.Token, f func(*sessions.Session) error) token.Token {
	w.Helper()
	s := load(w, m, tok)
	require.NoError(w, f(s))
	if c := commit(w, m, s); c.Action == sessions.Replace {
		return c.Token
	}
	return tok
}

func destroy(s *sessions.Session) error { s.Destroy(); return nil }

// requireEnds checks that ctx ends for cause, no later than within from now.
func requireEnds(t *testing.T, ctx context.Context, within time.Duration, cause error) {
	t.Helper()
	began := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(within):
		synctest.Wait()
	}
	require.Error(t, ctx.Err(), "the stream goes on after %v", time.Since(began))
	require.ErrorIs(t, context.Cause(ctx), cause)
}

func requireGoesOn(t *testing.T, ctx context.Context, d time.Duration) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatalf("the stream ended: %v", context.Cause(ctx))
	case <-time.After(d):
	}
}

const interval = 5 * time.Second

// Whoever ends a session, and wherever: its streams end, and say why.
func TestWatchedSessionsEnd(t *testing.T) {
	for what, tt := range map[string]struct {
		end   func(w *watching, m *sessions.Manager, tok token.Token) error
		cause error
	}{
		"logout": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			w.change(m, tok, destroy)
			return nil
		}, sessions.ErrEnded},
		"logout with the old ID": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			s := load(w, m, tok)
			w.change(w.here, tok, (*sessions.Session).Regenerate)
			s.Destroy()
			commit(w, m, s)
			return nil
		}, sessions.ErrEnded},
		"revoked": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			return m.Revoke(w.Context(), "ada", sessions.Handle(tok.ID.String()))
		}, sessions.ErrRevoked},
		"all revoked": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			_, err := m.RevokeAll(w.Context(), "ada")
			return err
		}, sessions.ErrRevoked},
		"others revoked": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			w.change(m, w.login(m, "ada"), func(s *sessions.Session) error {
				_, err := m.RevokeOthers(w.Context(), s)
				return err
			})
			return nil
		}, sessions.ErrRevoked},
		"too many": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			w.login(m, "ada")
			w.login(m, "ada")
			return nil
		}, sessions.ErrRevoked},
		"another's login": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			w.change(m, tok, func(s *sessions.Session) error { return s.SetOwner(w.Context(), "bob") })
			return nil
		}, sessions.ErrOwnerChanged},
		"moved, and ended": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			for range 3 {
				tok = w.change(m, tok, (*sessions.Session).Regenerate)
			}
			w.change(m, tok, destroy)
			return nil
		}, sessions.ErrEnded},
		"gone": {func(w *watching, m *sessions.Manager, tok token.Token) error {
			past := time.Now().Add(time.Millisecond)
			err := w.store.Store.Put(w.Context(), tok.ID.Key(), stores.Record{Data: []byte("x"), Expires: past})
			time.Sleep(time.Millisecond)
			return err
		}, sessions.ErrEnded},
	} {
		for _, here := range []bool{true, false} {
			t.Run(what+map[bool]string{true: " here", false: " elsewhere"}[here], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWatching(t, sessions.Config{MaxSessionsPerOwner: 2, Overflow: sessions.EndOldest})
					m, within := w.away, interval
					if here && what != "gone" {
						m, within = w.here, 0
					}
					tok := w.login(w.here, "ada")
					bystander := w.open(w.login(w.here, "eve"))
					ctx := w.open(tok)
					if what != "others revoked" && what != "too many" {
						ctx = w.open(w.change(w.here, tok, func(*sessions.Session) error { return nil }))
					}
					require.NoError(t, tt.end(w, m, tok))
					requireEnds(t, ctx, within, tt.cause)
					require.ErrorIs(t, context.Cause(ctx), sessions.ErrEnded)
					requireGoesOn(t, bystander, 3*interval)
					w.change(w.here, w.login(w.here, "eve"), func(s *sessions.Session) error {
						_, err := w.here.RevokeOthers(t.Context(), s)
						return err
					})
					requireEnds(t, bystander, 0, sessions.ErrRevoked)
				})
			})
		}
	}
}

// A new ID is the same session: its streams go on, and end with it.
func TestWatchedSessionsMove(t *testing.T) {
	for _, here := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatching(t, sessions.Config{Lifetime: time.Hour})
			m := w.away
			if here {
				m = w.here
			}
			tok := w.login(w.here, "ada")
			first := w.open(tok)
			requireGoesOn(t, first, 50*time.Minute)
			for range 20 { // more often than between two looks
				tok = w.change(m, tok, (*sessions.Session).Regenerate)
			}
			second := w.open(tok) // under the new ID, perhaps before the first is known to have it
			requireGoesOn(t, first, 30*time.Minute)
			tok = w.change(m, tok, func(s *sessions.Session) error { return s.SetOwner(t.Context(), "ada") })
			third := w.open(tok)
			requireGoesOn(t, first, 2*interval)
			n, streams := w.here.Watching()
			require.Equal(t, 1, n)
			require.Equal(t, 3, streams)
			requireGoesOn(t, first, 50*time.Minute)
			w.change(w.away, tok, destroy)
			for _, ctx := range []context.Context{first, second, third} {
				requireEnds(t, ctx, interval, sessions.ErrEnded)
			}
		})
	}
}

// One call for all, however many sessions and streams there are; none where there are none.
func TestWatchingCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatching(t, sessions.Config{WatchInterval: 2 * time.Second})
		var all []token.Token
		for range 300 {
			all = append(all, w.login(w.here, "ada"))
		}
		time.Sleep(time.Minute)
		require.Zero(t, w.store.many.Load(), "nothing is watched")
		goroutines := runtime.NumGoroutine()

		ctx, closeAll := context.WithCancel(t.Context())
		for _, tok := range all {
			for range 3 {
				_, err := load(t, w.here, tok).Watch(ctx)
				require.NoError(t, err)
			}
		}
		synctest.Wait()
		// Of 900 streams. The count is exact to within some tens: the runtime moves those that
		// have ended in batches, and counts its own, such as that of finalizers.
		const others = 100
		require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+others, "a stream costs no goroutine")
		loads, writes := w.store.loads.Load(), w.store.writes()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 30, w.store.many.Load())
		require.EqualValues(t, 300, w.store.keys.Load())
		require.Equal(t, loads, w.store.loads.Load())
		require.Equal(t, writes, w.store.writes(), "watching writes nothing")

		closeAll()
		synctest.Wait()
		n, streams := w.here.Watching()
		require.Zero(t, n+streams)
		require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+others)
		time.Sleep(time.Minute)
		require.EqualValues(t, 30, w.store.many.Load(), "nobody is asked any more")

		// And again, for what was stopped must begin anew.
		stream := w.open(all[0])
		w.change(w.away, all[0], destroy)
		requireEnds(t, stream, 2*time.Second, sessions.ErrEnded)
	})
}

// Streams that come and go while the store is asked: none is forgotten, and the store is
// asked no more often.
func TestWatchBeginsDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := new(events)
		w := newWatching(t, sessions.Config{Hooks: ev.hooks()})
		first, second := w.login(w.here, "ada"), w.login(w.here, "bob")
		var under atomic.Int32
		w.store.before = func(ctx context.Context, c call) error {
			if c.op == "many" {
				under.Add(1)
				defer under.Add(-1)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := load(t, w.here, first).Watch(ctx)
			require.NoError(t, err)
			time.Sleep(interval + time.Second/2)
			require.EqualValues(t, 1, under.Load())
			cancel()
			synctest.Wait()
			require.Zero(t, under.Load(), "for nobody")
		}
		before := w.store.many.Load()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := load(t, w.here, first).Watch(ctx)
		require.NoError(t, err)
		time.Sleep(interval + time.Second/2)
		cancel()
		stream := w.open(second)
		requireGoesOn(t, stream, time.Minute)
		require.InDelta(t, 11, w.store.many.Load()-before, 1)
		w.change(w.away, second, destroy)
		requireEnds(t, stream, interval+time.Second, sessions.ErrEnded)
		require.Empty(t, ev.of("store error"))
	})
}

// To be watched is not to be used.
func TestWatchingDoesNotProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatching(t, sessions.Config{Rolling: time.Minute, Lifetime: 10 * time.Minute})
		tok := w.login(w.here, "ada")
		unused := w.open(tok)
		requireGoesOn(t, unused, time.Minute-time.Millisecond)
		requireEnds(t, unused, interval, sessions.ErrIdle)

		// Used elsewhere, and no longer than that.
		for _, m := range []*sessions.Manager{w.here, w.away} {
			tok = w.login(w.here, "ada")
			used := w.open(tok)
			for range 3 {
				requireGoesOn(t, used, 50*time.Second)
				w.change(m, tok, func(*sessions.Session) error { return nil })
			}
			requireGoesOn(t, used, time.Minute-time.Millisecond)
			requireEnds(t, used, interval, sessions.ErrIdle)
		}

		// A change that the stream commits is use.
		s := load(t, w.here, w.login(w.here, "ada"))
		ctx, err := s.Watch(t.Context())
		require.NoError(t, err)
		for range 3 {
			requireGoesOn(t, ctx, 50*time.Second)
			increment(t, s)
			_, err := w.here.Commit(t.Context(), s, sessions.AfterResponse)
			require.NoError(t, err)
		}
		requireEnds(t, ctx, time.Minute+interval, sessions.ErrIdle)
	})
}

// The deadline is known, and needs no asking.
func TestWatchedDeadline(t *testing.T) {
	for _, idle := range []time.Duration{0, 50 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatching(t, sessions.Config{Lifetime: time.Hour, Rolling: idle})
			tok := w.login(w.here, "ada")
			ctx := w.open(tok)
			requireGoesOn(t, ctx, 40*time.Minute)
			tok = w.change(w.away, tok, func(*sessions.Session) error { return nil })
			requireGoesOn(t, ctx, 20*time.Minute-time.Millisecond)
			requireEnds(t, ctx, time.Millisecond, sessions.ErrDeadline)

			// Shortened by its own request, here and elsewhere.
			for _, m := range []*sessions.Manager{w.here, w.away} {
				tok = w.login(w.here, "ada")
				ctx = w.open(tok)
				began := time.Now()
				w.change(m, tok, func(s *sessions.Session) error { return s.Limit(62*time.Second, 0) })
				if idle == 0 || m == w.here {
					requireGoesOn(t, ctx, 62*time.Second-time.Millisecond)
					requireEnds(t, ctx, time.Millisecond, sessions.ErrDeadline)
				} else { // what cut the expiry short is sealed
					requireEnds(t, ctx, 62*time.Second+interval, sessions.ErrIdle)
					require.WithinDuration(t, began.Add(62*time.Second), time.Now(), interval)
				}
			}
		})
	}
}

// A store that fails does not end streams, for as long as it would remember what came
// between; what is over by its time ends all the same.
func TestWatchedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := new(events)
		w := newWatching(t, sessions.Config{Rolling: 30 * time.Minute, Lifetime: 40 * time.Minute, Hooks: ev.hooks()})
		tok, other := w.login(w.here, "ada"), w.login(w.here, "ada")
		ctx := w.open(tok)
		w.store.down.Store(true)
		requireGoesOn(t, ctx, 10*time.Minute)
		require.NotEmpty(t, ev.of("store error"), "somebody should know")
		w.store.down.Store(false)
		requireGoesOn(t, ctx, 2*interval)

		w.change(w.away, other, func(s *sessions.Session) error { return nil })
		ended := w.open(other)
		w.store.down.Store(true)
		w.change(w.away, other, destroy)
		requireGoesOn(t, ended, 9*time.Minute)
		w.store.down.Store(false)
		requireEnds(t, ended, interval, sessions.ErrEnded)

		// It lasts.
		w.store.down.Store(true)
		requireGoesOn(t, ctx, 9*time.Minute+50*time.Second)
		requireEnds(t, ctx, 3*interval, stores.ErrUnavailable)
		require.NotErrorIs(t, context.Cause(ctx), sessions.ErrEnded, "nobody knows that")
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWatching(t, sessions.Config{Rolling: 5 * time.Minute, Lifetime: 8 * time.Minute})
		tok := w.login(w.here, "ada")
		idle := w.open(tok)
		w.store.down.Store(true)
		requireGoesOn(t, idle, 5*time.Minute-time.Millisecond)
		requireEnds(t, idle, interval, sessions.ErrIdle)

		w.store.down.Store(false)
		tok = w.login(w.here, "ada")
		dead := w.open(tok)
		time.Sleep(4 * time.Minute)
		w.change(w.away, tok, func(s *sessions.Session) error { return nil })
		time.Sleep(2 * interval)
		w.store.down.Store(true)
		requireGoesOn(t, dead, 4*time.Minute-2*interval-time.Millisecond)
		requireEnds(t, dead, time.Millisecond, sessions.ErrDeadline)
	})
}

// Of a session in a cookie this process alone tells.
func TestWatchedInACookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, clientStore{}, sessions.Config{Rolling: time.Minute, Lifetime: 5 * time.Minute})
		open := func(tok token.Token) context.Context {
			ctx, err := load(t, m, tok).Watch(t.Context())
			require.NoError(t, err)
			return ctx
		}
		idle := open(begin(t, m))
		requireGoesOn(t, idle, time.Minute-time.Millisecond)
		requireEnds(t, idle, time.Millisecond, sessions.ErrIdle)

		tok := begin(t, m)
		dead := open(tok)
		for range 5 {
			requireGoesOn(t, dead, 59*time.Second)
			tok = commit(t, m, load(t, m, tok)).Token
		}
		requireGoesOn(t, dead, 5*time.Second-time.Millisecond)
		requireEnds(t, dead, time.Millisecond, sessions.ErrDeadline)

		tok = begin(t, m)
		short := open(tok)
		s := load(t, m, tok)
		require.NoError(t, s.Limit(20*time.Second, 0))
		commit(t, m, s)
		requireGoesOn(t, short, 20*time.Second-time.Millisecond)
		requireEnds(t, short, time.Millisecond, sessions.ErrEnded)

		tok = begin(t, m)
		out := open(tok)
		s = load(t, m, tok)
		require.NoError(t, s.Regenerate())
		tok = commit(t, m, s).Token
		requireGoesOn(t, out, 30*time.Second)
		s = load(t, m, tok)
		s.Destroy()
		commit(t, m, s)
		requireEnds(t, out, 0, sessions.ErrEnded)
		n, streams := m.Watching()
		require.Zero(t, n+streams)
	})
}

// The hybrid's server has nothing of a small session but its end.
func TestWatchedInTheHybrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		c := sessions.Config{Encryptor: newRing(t), Room: 500, Rolling: 10 * time.Minute}
		both := placed{Name: "hybrid", Server: st, Cookie: clientStore{}}
		here, away := newManager(t, both, c), newManager(t, both, c)
		open := func(tok token.Token) context.Context {
			ctx, err := load(t, here, tok).Watch(t.Context())
			require.NoError(t, err)
			return ctx
		}
		small, err := visit(t, here, token.Token{}, 10)
		require.NoError(t, err)
		ctx := open(small)
		requireGoesOn(t, ctx, time.Minute)
		s := load(t, away, small)
		s.Destroy()
		commit(t, away, s)
		requireEnds(t, ctx, interval, sessions.ErrEnded)

		small, err = visit(t, here, token.Token{}, 10)
		require.NoError(t, err)
		ctx = open(small)
		large, err := visit(t, away, small, 1000)
		require.NoError(t, err)
		require.Empty(t, large.Payload)
		for range 2 { // on the server it is used elsewhere
			requireGoesOn(t, ctx, 9*time.Minute)
			large, err = visit(t, away, large, 1000)
			require.NoError(t, err)
		}
		requireEnds(t, ctx, 10*time.Minute+interval, sessions.ErrIdle)
	})
}

func TestWhatCantBeWatched(t *testing.T) {
	requireRefused := func(ctx context.Context, err, want error) {
		t.Helper()
		require.ErrorIs(t, err, want)
		require.Error(t, ctx.Err(), "with an error the context has ended")
		require.ErrorIs(t, context.Cause(ctx), want)
	}
	ctx, err := sessions.Watch(t.Context())
	requireRefused(ctx, err, sessions.ErrNoMiddleware)

	var inHook error
	_, m := setup(t, sessions.Config{Hooks: sessions.Hooks{Saved: func(ctx context.Context, _ sessions.Event) {
		_, inHook = sessions.Watch(ctx)
	}}})
	cookies := make(map[string]string)
	require.NoError(t, serve(t.Context(), m, cookies, func(ctx context.Context) error {
		watched, err := sessions.Watch(ctx)
		requireRefused(watched, err, sessions.ErrNotStored)
		s, err := sessions.Load(ctx)
		require.NoError(t, err)
		require.NoError(t, count.Set(s, 1))
		watched, err = sessions.Watch(ctx)
		requireRefused(watched, err, sessions.ErrNotStored)
		require.NoError(t, sessions.Commit(ctx))
		watched, err = sessions.Watch(ctx)
		require.NoError(t, err)
		require.NoError(t, watched.Err())
		again, err := sessions.Load(watched)
		require.NoError(t, err)
		require.Same(t, s, again, "the request's session is found there")
		s.Destroy()
		require.NoError(t, watched.Err(), "it is not ended yet")
		_, err = sessions.Watch(ctx)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.NoError(t, sessions.Commit(ctx))
		require.ErrorIs(t, context.Cause(watched), sessions.ErrEnded)
		return nil
	}))
	require.Empty(t, cookies)

	require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
	require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
	require.ErrorIs(t, inHook, sessions.ErrNotLoaded)

	// With the ID of before, and where the load fails.
	before := map[string]string{"session": cookies["session"]}
	require.NoError(t, serve(t.Context(), m, cookies, page(func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })))
	require.NoError(t, serve(t.Context(), m, before, func(ctx context.Context) error {
		_, err := sessions.Watch(ctx)
		require.ErrorIs(t, err, sessions.ErrEnded)
		return nil
	}))
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	st.before = down(errOutage, "load")
	ctx, _, _ = exchangeOf(t, m, tok.Value(nil))
	watched, err := sessions.Watch(ctx)
	requireRefused(watched, err, stores.ErrUnavailable)
}

// The time of a stream is its request's, too.
func TestWatchEndsWithItsRequest(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	s := load(t, m, begin(t, m))
	watched, err := s.Watch(ctx)
	require.NoError(t, err)
	gone := errors.New("the client is gone")
	cancel(gone)
	require.ErrorIs(t, context.Cause(watched), gone)
	require.Eventually(t, func() bool { n, streams := m.Watching(); return n+streams == 0 }, 10*time.Second, time.Millisecond)
}

// Streams come and go, sessions move, end and are used, here and elsewhere, all at once:
// every stream of a session that has ended ends, and no other.
func TestWatchSchedules(t *testing.T) {
	for range many(5, 500) {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			w := newWatching(t, sessions.Config{Rolling: time.Hour})
			rng := rand.New(rand.NewPCG(seed, 1))
			w.store.before = func(context.Context, call) error {
				time.Sleep(time.Duration(rand.N(20)) * time.Millisecond)
				return nil
			}
			type user struct {
				streams []context.Context
				ended   bool
			}
			users := make([]user, 8)
			var all sync.WaitGroup
			for i := range users {
				u, seed := &users[i], rng.Uint64()
				all.Go(func() {
					rng := rand.New(rand.NewPCG(seed, 2))
					name := strings.Repeat("u", i+1)
					tok := w.login(w.here, name)
					for range 20 {
						m := []*sessions.Manager{w.here, w.away}[rng.IntN(2)]
						time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
						var beside sync.WaitGroup
						if rng.IntN(2) == 0 {
							beside.Go(func() {
								s, err := w.here.Load(t.Context(), received(t, tok))
								if err != nil {
									return // it has another ID by now
								}
								if ctx, err := s.Watch(t.Context()); err == nil {
									u.streams = append(u.streams, ctx)
								}
							})
						}
						switch rng.IntN(4) {
						case 0:
							tok = w.change(m, tok, func(s *sessions.Session) error { return s.SetOwner(t.Context(), name) })
						case 1:
							tok = w.change(m, tok, (*sessions.Session).Regenerate)
						case 2:
							w.change(m, tok, func(s *sessions.Session) error { increment(t, s); return nil })
						}
						beside.Wait()
					}
					switch i % 4 {
					case 0:
						w.change(w.away, tok, destroy)
						u.ended = true
					case 1:
						_, err := w.here.RevokeAll(t.Context(), name)
						require.NoError(t, err)
						u.ended = true
					case 2:
						w.change(w.here, tok, destroy)
						u.ended = true
					}
				})
			}
			all.Wait()
			time.Sleep(2 * interval)
			synctest.Wait()
			for i, u := range users {
				for _, ctx := range u.streams {
					require.Equal(t, u.ended, ctx.Err() != nil, "seed %d, user %d: %v", seed, i, context.Cause(ctx))
				}
			}
		})
	}
}
