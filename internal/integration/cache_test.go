//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const fresh = 10 * time.Second

// watched is a store in memory that counts its calls, answers late, and fails.
type watched struct {
	*ledger
	calls atomic.Int64
	late  atomic.Int64 // nanoseconds between doing and answering
	down  atomic.Bool
}

func watch(t testing.TB) *watched {
	return &watched{ledger: newLedger(t)}
}

func (w *watched) call(do func() error) error {
	w.calls.Add(1)
	err := fmt.Errorf("%w: connection refused", stores.ErrUnavailable)
	if !w.down.Load() {
		err = do()
	}
	time.Sleep(time.Duration(w.late.Load()))
	return err
}

// Place is that of the memory.
func (w *watched) Place() stores.Place {
	p := w.Store.Place()
	p.Server = w
	return p
}

func (w *watched) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (rec stores.Record, err error) {
	err = w.call(func() error { rec, err = w.ledger.Load(ctx, key, fresh); return err })
	return rec, err
}

func (w *watched) Save(ctx context.Context, key stores.Key, rec stores.Record) (rev stores.Revision, err error) {
	err = w.call(func() error { rev, err = w.ledger.Save(ctx, key, rec); return err })
	return rev, err
}

func (w *watched) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	return w.call(func() error { return w.ledger.Put(ctx, key, rec) })
}

func (w *watched) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (touched stores.Revision, err error) {
	err = w.call(func() error { touched, err = w.ledger.Touch(ctx, key, rev, expires); return err })
	return touched, err
}

// cached is a middleware with a cookie cache over w.
func cached(t testing.TB, w *watched, opts ...middleware.Option) *middleware.Middleware {
	return middlewareOf(t, w, append([]middleware.Option{
		middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(fresh),
	}, opts...)...)
}

// costs requires that do calls the store n times.
func (w *watched) costs(t testing.TB, n int64, do func()) {
	t.Helper()
	before := w.calls.Load()
	do()
	require.Equal(t, n, w.calls.Load()-before, "calls of the store")
}

// A change is in the copy that its own answer carries, and the next request
// reads it there.
func TestReadYourWrites(t *testing.T) {
	store := watch(t)
	mw := cached(t, store)
	b := visited(t, mw)
	for n := 2; n < 5; n++ {
		store.costs(t, 1, func() { b.must(t, mw, count) })
		store.costs(t, 0, func() { require.Equal(t, n, b.visits(t, mw)) })
	}
	require.Equal(t, 4, b.id().visits(t, mw), "the server has it too")
}

// Reads of a fresh copy cost nothing and send no cookie; the first read after
// that asks the server and brings a new copy.
func TestCopyIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		mw := cached(t, store)
		b := visited(t, mw)
		for range 3 {
			time.Sleep(fresh - time.Millisecond)
			store.costs(t, 0, func() { require.Empty(t, b.must(t, mw, look).lines) })
			time.Sleep(time.Millisecond)
			store.costs(t, 1, func() { require.Len(t, b.must(t, mw, look).lines, 1) })
			store.costs(t, 0, func() { require.Empty(t, b.must(t, mw, look).lines) })
		}
	})
}

// Whoever ends a session, and however: later than fresh after that no copy of it
// can be read.
func TestEndedElsewhere(t *testing.T) {
	for _, rolls := range []bool{false, true} {
		for name, end := range map[string]func(*testing.T, *middleware.Middleware, *browser){
			"logout": func(t *testing.T, mw *middleware.Middleware, b *browser) { b.must(t, mw, logout) },
			"new ID": func(t *testing.T, mw *middleware.Middleware, b *browser) {
				b.must(t, mw, (*sessions.Session).Regenerate)
			},
			"revocation": func(t *testing.T, mw *middleware.Middleware, _ *browser) { revokeAll(t, mw) },
		} {
			t.Run(fmt.Sprintf("%s, rolling %v", name, rolls), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					opts := []middleware.Option{middleware.WithOwners(encrypt.GenerateKey()), middleware.WithLifetime(time.Hour)}
					if rolls {
						opts = append(opts, middleware.WithRolling(time.Hour), middleware.WithTouchInterval(2*time.Second))
					}
					mw := cached(t, watch(t), opts...)
					b := new(browser)
					a := b.serve(mw, func(r *http.Request) error {
						s, err := sessions.Load(r.Context())
						if err == nil {
							err = s.SetOwner(r.Context(), "someone")
						}
						if err == nil {
							err = count(s)
						}
						return err
					})
					require.NoError(t, a.err)

					// One browser takes every cookie that it is sent;
					// a thief, who reads as often, keeps all of them.
					thief := []*browser{b.clone()}
					const ended = 15500 * time.Millisecond
					last := time.Duration(0)
					for at := time.Duration(0); at < 60*time.Second; at += 500 * time.Millisecond {
						if at == ended {
							end(t, mw, b.clone())
						}
						for _, b := range append(thief, b) {
							was := b.cookie
							if b.visits(t, mw) > 0 {
								last = at
							}
							if b.cookie != was {
								thief = append(thief, b.clone())
							}
						}
						time.Sleep(500 * time.Millisecond)
					}
					require.Greater(t, last, ended, "no copy was ever read")
					require.Less(t, last, ended+fresh)
				})
			})
		}
	}
}

func revokeAll(t testing.TB, mw *middleware.Middleware) {
	n, err := mw.Manager().RevokeAll(context.Background(), "someone")
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// The time of a copy is when the server was asked, however late its answer came
// and however long the handler took; and a slow read asks again before it hands
// one out.
func TestSlowRequest(t *testing.T) {
	const slow = 4 * time.Second
	pause := func(*http.Request, *sessions.Session) error { time.Sleep(slow); return nil }
	read := func(*http.Request, *sessions.Session) error { return nil }
	change := func(_ *http.Request, s *sessions.Session) error { return count(s) }
	commit := func(r *http.Request, _ *sessions.Session) error { return sessions.Commit(r.Context()) }
	commitAndPause := func(r *http.Request, s *sessions.Session) error {
		if err := commit(r, s); err != nil {
			return err
		}
		return pause(r, s)
	}
	touching := []middleware.Option{middleware.WithRolling(time.Hour), middleware.WithTouchInterval(fresh)}
	for _, k := range []struct {
		name  string
		opts  []middleware.Option
		first func(*browser) *browser // what the browser has before
		wait  time.Duration           // before the request
		late  time.Duration           // the store
		do    func(*http.Request, *sessions.Session) error
		none  bool // no copy is handed out: the session was ended meanwhile
	}{
		{name: "slow handler, read", first: (*browser).id, do: pause, none: true},
		{name: "slow store, read", first: (*browser).id, late: slow, do: read, none: true},
		{name: "slow store, change", first: (*browser).clone, late: slow, do: change},
		{name: "slow store, touch", opts: touching, first: (*browser).clone, wait: fresh + time.Second, late: slow, do: read},
		{name: "slow store in Commit", first: (*browser).clone, late: slow, do: commit},
		{name: "slow handler after Commit", first: (*browser).clone, do: commitAndPause},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := watch(t)
				mw := cached(t, store, k.opts...)
				first := visited(t, mw)
				b := k.first(first)
				time.Sleep(k.wait)

				store.late.Store(int64(k.late))
				began, done := time.Now(), make(chan answer)
				go func() {
					done <- b.serve(mw, func(r *http.Request) error {
						s, err := sessions.Load(r.Context())
						if err != nil {
							return err
						}
						return k.do(r, s)
					})
				}()
				asked := began
				if k.wait > 0 { // a load, and then the touch
					asked = asked.Add(slow)
				}
				time.Sleep(time.Until(asked.Add(time.Second)))
				store.late.Store(0)
				end(t, store.ledger, first.key())
				a := <-done
				require.NoError(t, a.err)
				require.Equal(t, slow, time.Since(asked))
				if k.none {
					require.Empty(t, a.lines)
					return
				}
				require.Len(t, a.lines, 1)

				time.Sleep(time.Until(asked.Add(fresh - time.Millisecond)))
				store.costs(t, 0, func() { require.NotZero(t, b.clone().visits(t, mw), "the copy") })
				time.Sleep(time.Millisecond)
				require.Zero(t, b.clone().visits(t, mw), "the copy was read later than fresh after the server was asked")
			})
		})
	}
}

// A slow request that only reads hands out no copy of a session that was ended
// meanwhile: its cookie would replace that of a login.
func TestSlowReadKeepsNewerLogin(t *testing.T) {
	for _, slow := range []time.Duration{101 * time.Millisecond, time.Second, fresh, 2 * fresh} {
		t.Run(slow.String(), func(t *testing.T) { slowReadKeepsNewerLogin(t, slow) })
	}
}

func slowReadKeepsNewerLogin(t *testing.T, slow time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		mw := cached(t, store)
		b := visited(t, mw)
		stale := b.clone()
		time.Sleep(fresh)

		done := make(chan answer)
		go func() {
			done <- stale.send(mw, func(*sessions.Session) error {
				time.Sleep(slow)
				return nil
			})
		}()
		time.Sleep(50 * time.Millisecond)
		b.must(t, mw, logout)
		b.must(t, mw, setUser("someone else"))
		a := <-done
		require.Equal(t, http.StatusOK, a.status)
		require.Empty(t, a.lines)
		require.Equal(t, "someone else", b.user(t, mw))
		require.Equal(t, 1, store.live(t))
	})
}

// A change that was made on an old copy meets the newer record, is made again on
// that, and loses nothing.
func TestChangeOfAnOldCopy(t *testing.T) {
	var conflicts atomic.Int64
	store := watch(t)
	mw := cached(t, store, middleware.WithHooks(sessions.Hooks{
		Conflict: func(context.Context, sessions.Event) { conflicts.Add(1) },
	}))
	b := visited(t, mw)
	old := b.clone()
	b.must(t, mw, count)
	b.must(t, mw, setUser("someone"))
	require.Equal(t, 1, old.visits(t, mw), "the old copy serves reads")

	require.Zero(t, conflicts.Load())
	store.costs(t, 3, func() { old.must(t, mw, count) })
	require.EqualValues(t, 1, conflicts.Load())
	for _, b := range []*browser{old, old.id()} {
		require.Equal(t, 3, b.visits(t, mw))
		require.Equal(t, "someone", b.user(t, mw))
	}
	store.costs(t, 0, func() { require.Equal(t, 3, old.visits(t, mw)) })
}

// What must not rest on a copy asks the server.
func TestFreshCopyOfAnEndedSession(t *testing.T) {
	for name, do := range map[string]func(*http.Request, *sessions.Session) error{
		"change":     func(_ *http.Request, s *sessions.Session) error { return count(s) },
		"Regenerate": func(_ *http.Request, s *sessions.Session) error { return s.Regenerate() },
		"Commit": func(r *http.Request, _ *sessions.Session) error {
			if err := sessions.Commit(r.Context()); err == nil || !isEnded(err) {
				return fmt.Errorf("sessions.Commit gave %v", err)
			}
			return nil
		},
		"Commit after a change": func(r *http.Request, s *sessions.Session) error {
			if err := count(s); err != nil {
				return err
			}
			if err := sessions.Commit(r.Context()); err == nil || !isEnded(err) {
				return fmt.Errorf("sessions.Commit gave %v", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int64
			store := watch(t)
			mw := cached(t, store, middleware.WithHooks(sessions.Hooks{
				Ended: func(context.Context, sessions.Event) { ended.Add(1) },
			}))
			b := visited(t, mw)
			b.clone().must(t, mw, logout)
			require.Equal(t, 1, b.visits(t, mw), "the copy is fresh")
			a := b.serve(mw, func(r *http.Request) error {
				s, err := sessions.Load(r.Context())
				if err != nil {
					return err
				}
				return do(r, s)
			})
			require.NoError(t, a.err)
			require.Equal(t, http.StatusOK, a.status)
			require.Empty(t, a.lines)
			require.EqualValues(t, 1, ended.Load())
			require.Zero(t, store.live(t))
		})
	}
}

// A session that has no room in the cookie does without a copy, and the copy
// that the browser had goes.
func TestCopyWithoutRoom(t *testing.T) {
	grow := func(s *sessions.Session) error { return text.Set(s, string(make([]byte, 4000))) }
	shrink := func(s *sessions.Session) error { return text.Delete(s) }
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		mw := cached(t, store)
		b := visited(t, mw)
		old := b.clone()
		require.Greater(t, len(b.cookie), idSize)
		require.Len(t, b.must(t, mw, grow).lines, 1)
		require.Equal(t, old.cookie[:idSize], b.cookie, "the ID alone")
		for range 2 {
			store.costs(t, 1, func() { require.Empty(t, b.must(t, mw, look).lines) })
		}

		// Another tab, which has an older copy, loses it at its next read
		// that asks the server.
		time.Sleep(fresh)
		require.Len(t, old.must(t, mw, look).lines, 1)
		require.Equal(t, b.cookie, old.cookie)

		b.must(t, mw, shrink)
		store.costs(t, 0, func() { require.Equal(t, 1, b.visits(t, mw)) })
	})
}

func TestCacheConfiguration(t *testing.T) {
	const day = 24 * time.Hour
	store, err := memstore.New()
	require.NoError(t, err)
	enc := middleware.WithEncryptor(ring(t))
	b := hybrid(t)
	for _, tt := range []struct {
		name  string
		store stores.Store
		opts  []middleware.Option
		says  []string
	}{
		{"negative", store, []middleware.Option{enc, middleware.WithCookieCache(-1)}, []string{"WithCookieCache", "leave"}},
		{"negative fallback", store, []middleware.Option{enc, middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(-1)}, []string{"WithCookieCacheFallback", "leave"}},
		{"fallback alone", store, []middleware.Option{enc, middleware.WithCookieCacheFallback(time.Minute)}, []string{"WithCookieCacheFallback", "add WithCookieCache"}},
		{"shorter fallback", store, []middleware.Option{enc, middleware.WithCookieCache(time.Minute), middleware.WithCookieCacheFallback(time.Second)}, []string{"WithCookieCacheFallback(1s)", "lengthen"}},
		{"long", store, []middleware.Option{enc, middleware.WithCookieCache(time.Hour + 1)}, []string{"WithCookieCache(1h0m0.000000001s)", "over an hour", "shorten it"}},
		{"400 days", store, []middleware.Option{enc, middleware.WithLifetime(400 * day), middleware.WithCookieCache(400 * day)}, []string{"WithCookieCache", "shorten it"}},
		{"fallback over the idle time", store, []middleware.Option{enc, middleware.WithRolling(day), middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(day + 1)}, []string{"WithCookieCacheFallback", "24h0m0s", "shorten it"}},
		{"fallback over the lifetime", store, []middleware.Option{enc, middleware.WithLifetime(day), middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(day + 1)}, []string{"WithCookieCacheFallback", "24h0m0s", "shorten it"}},
		{"fallback over 30 days", store, []middleware.Option{enc, middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(30*day + 1)}, []string{"WithCookieCacheFallback", "720h0m0s", "shorten it"}},
		{"no encryptor", store, []middleware.Option{middleware.WithCookieCache(time.Minute)}, []string{"WithCookieCache", "add WithEncryptor"}},
		{"not encrypted on purpose", store, []middleware.Option{middleware.WithoutEncryption(), middleware.WithCookieCache(time.Minute)}, []string{"WithCookieCache", "add WithEncryptor"}},
		{"a cookie", cookiestore.Sealed(), []middleware.Option{enc, middleware.WithCookieCache(time.Minute)}, []string{"WithCookieCache", "needs a store"}},
		{"a hybrid", b.store, []middleware.Option{enc, middleware.WithCookieCache(time.Minute)}, []string{"WithCookieCache", "needs a store"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := middleware.New(tt.store, tt.opts...)
			require.ErrorIs(t, err, sessions.ErrConfig)
			for _, says := range tt.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
	for name, opts := range map[string][]middleware.Option{
		"an hour":               {middleware.WithCookieCache(time.Hour)},
		"fallback for idle":     {middleware.WithRolling(day), middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(day)},
		"fallback for lifetime": {middleware.WithLifetime(day), middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(day)},
		"fallback for 30 days":  {middleware.WithCookieCache(1), middleware.WithCookieCacheFallback(30 * day)},
	} {
		_, err := middleware.New(store, append(opts, enc)...)
		require.NoError(t, err, name)
	}
}
