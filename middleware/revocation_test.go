package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
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
)

func TestLogoutHoldsEverywhere(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		a := f.do(0, cookie, logOut)
		require.True(f.t, a.gone)
		f.lives(0, cookie, "")
		f.lives(1, cookie, "ada") // it has not read the list yet
		f.everywhere(cookie, "")

		// Neither a change nor anything else brings it back.
		a = f.do(1, cookie, change)
		require.Equal(f.t, http.StatusOK, a.status)
		f.everywhere(cookie, "")
	})
}

// A process that has read the list since the request began does not give a dead session
// a new cookie.
func TestLogoutDuringARequest(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		a := f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
			f.do(0, cookie, logOut)
			time.Sleep(2 * every)
			return change(r, s)
		})
		require.Equal(f.t, http.StatusOK, a.status)
		require.Empty(f.t, a.cookie)

		// And who commits to be sure is told at once.
		cookie = f.login(0, "", "ada")
		for name, do := range map[string]func(*http.Request, *sessions.Session) error{"nothing": look, "a change": change} {
			cookie := f.login(0, "", "ada")
			a = f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
				f.do(0, cookie, logOut)
				return errors.Join(do(r, s), sessions.Commit(r.Context()))
			})
			f.ended(a)
			require.ErrorIs(f.t, a.err, sessions.ErrEnded, name)
		}
		a = f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[0].Manager().RevokeAll(r.Context(), "ada")
			return errors.Join(err, sessions.Commit(r.Context()))
		})
		f.ended(a)
		require.ErrorIs(f.t, a.err, sessions.ErrRevoked)
	})
}

func TestRevokeAllHoldsEverywhere(t *testing.T) {
	fleets(t, func(f *fleet) {
		var adas []string
		for i := range 5 {
			adas = append(adas, f.login(i%2, "", "ada"))
		}
		grace := f.login(0, "", "grace")
		list := f.list.(*listed)
		swaps := list.swaps.Load()
		_, err := f.all[1].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)
		require.Equal(f.t, swaps+1, list.swaps.Load(), "one entry, however many sessions")
		for _, cookie := range adas {
			f.lives(1, cookie, "")
		}
		for _, cookie := range adas {
			f.everywhere(cookie, "")
		}
		f.everywhere(grace, "grace")
		again := f.login(0, "", "ada")
		f.everywhere(again, "ada")
		_, err = f.all[0].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)
		f.everywhere(again, "")

		_, err = f.all[0].Manager().Sessions(f.t.Context(), "ada")
		require.ErrorIs(f.t, err, sessions.ErrConfig)
		require.ErrorContains(f.t, err, "leaves to the clients")
		require.ErrorIs(f.t, f.all[0].Manager().Revoke(f.t.Context(), "ada", "x"), sessions.ErrConfig)
	})
}

// However many cookies are out, one entry ends them: none is overlooked.
func TestRevokeAllOfMany(t *testing.T) {
	counts := []int{1, 1000}
	if os.Getenv("BULLA_SOAK") != "" {
		counts = append(counts, 100_000)
	}
	for _, n := range counts {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			list := newListed(t)
			f := &fleet{t: t, ctx: ctx, store: func() stores.Store { return cookiestore.Sealed() }, list: list, every: every, opts: []middleware.Option{
				middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
			}}
			f.start(2)
			cookies := make([]string, n)
			for i := range cookies {
				cookies[i] = f.login(i%2, "", "ada")
			}
			swaps := list.swaps.Load()
			_, err := f.all[0].Manager().RevokeAll(ctx, "ada")
			require.NoError(t, err)
			require.Equal(t, swaps+1, list.swaps.Load())
			time.Sleep(every)
			synctest.Wait()
			for i, cookie := range cookies {
				f.lives((i+1)%2, cookie, "")
			}
			cancel()
			synctest.Wait()
		})
	}
}

// A thief changes the ID at a process that has not read the list yet.
func TestNobodyEscapesByANewID(t *testing.T) {
	for name, escape := range map[string]func(*http.Request, *sessions.Session) error{
		"a new ID":            renew,
		"a login":             logIn("mallory"),
		"a login as the same": logIn("ada"),
		"a new ID, and commit": func(r *http.Request, s *sessions.Session) error {
			return errors.Join(renew(r, s), sessions.Commit(r.Context()))
		},
		"ending the others":          nil,
		"ending the others by a new": nil,
	} {
		t.Run(name, func(t *testing.T) {
			for how, end := range map[string]func(f *fleet, cookie string){
				"logout":    func(f *fleet, cookie string) { f.do(0, cookie, logOut) },
				"RevokeAll": func(f *fleet, _ string) { f.all[0].Manager().RevokeAll(f.t.Context(), "ada") },
				"everything": func(f *fleet, _ string) {
					require.NoError(f.t, f.all[0].Manager().RevokeEverything(f.t.Context()))
				},
			} {
				t.Run(how, func(t *testing.T) {
					fleets(t, func(f *fleet) {
						cookie := f.login(0, "", "ada")
						end(f, cookie)
						f.lives(1, cookie, "ada")
						do := escape
						if do == nil {
							do = func(r *http.Request, s *sessions.Session) error {
								_, err := f.all[1].Manager().RevokeOthers(r.Context(), s)
								return err
							}
						}
						a := f.do(1, cookie, do)
						if a.cookie != "" { // a new ID with the old numbers
							require.NotEqual(t, "logout", how)
							f.everywhere(a.cookie, "")
						}
						f.everywhere(cookie, "")
					})
				})
			}
		})
	}
}

// The cookie of before a regeneration is dead, and a logout with it ends the session.
func TestLogoutCrossesANewID(t *testing.T) {
	fleets(t, func(f *fleet) {
		old := f.login(0, "", "ada")
		time.Sleep(time.Minute + time.Second) // between two readings
		a := f.do(0, old, renew)
		require.NotEmpty(f.t, a.cookie)
		next := f.do(0, a.cookie, renew).cookie
		f.lives(1, old, "ada")
		a = f.do(1, old, logOut)
		require.Equal(f.t, http.StatusOK, a.status)
		f.everywhere(old, "")
		f.everywhere(next, "")

		// The other way round the new ID does not come about.
		cookie := f.login(0, "", "ada")
		f.ended(f.do(0, cookie, func(r *http.Request, s *sessions.Session) error {
			require.NoError(f.t, s.Regenerate())
			require.True(f.t, f.do(1, cookie, logOut).gone)
			return sessions.Commit(r.Context())
		}))
		f.everywhere(cookie, "")

		// Of two new IDs one comes about.
		cookie = f.login(0, "", "ada")
		first := f.do(0, cookie, renew)
		second := f.do(1, cookie, renew)
		require.NotEmpty(f.t, first.cookie)
		require.Empty(f.t, second.cookie)
		f.everywhere(first.cookie, "ada")
	})
}

// For ten seconds a request with the old ID was under way; then it begins anew.
func TestTheCookieFromBeforeANewID(t *testing.T) {
	fleets(t, func(f *fleet) {
		old := f.login(0, "", "ada")
		next := f.do(0, old, renew).cookie
		f.everywhere(old, "")
		f.everywhere(next, "ada")
		a := f.do(1, old, change)
		require.ErrorIs(f.t, a.err, sessions.ErrEnded)
		require.Empty(f.t, a.cookie)
		time.Sleep(11 * time.Second)
		a = f.do(1, old, change)
		require.NoError(f.t, a.err)
		require.NotEmpty(f.t, a.cookie)

		// Also with the old one a logout reaches the session.
		require.Equal(f.t, http.StatusOK, f.do(1, old, logOut).status)
		f.everywhere(next, "")
	})
}

// Who planted a session's ID does not end the session of the user who logged in with it.
func TestPlantedSessionDoesNotEndTheLogin(t *testing.T) {
	fleets(t, func(f *fleet) {
		planted := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return text.Set(s, "planted") }).cookie
		ada := f.login(0, planted, "ada")
		f.everywhere(planted, "")
		a := f.do(0, planted, logOut)
		require.False(f.t, a.gone)
		f.everywhere(ada, "ada")

		// Nor may a thief who logs in with it as himself.
		mallorys := f.login(0, "", "mallory")
		ada = f.login(0, mallorys, "ada")
		f.do(1, mallorys, logOut)
		f.everywhere(ada, "ada")
	})
}

// An old session without an owner logs in after, and across, a RevokeAll.
func TestLoginAcrossRevokeAll(t *testing.T) {
	fleets(t, func(f *fleet) {
		anonymous := func() string {
			return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return text.Set(s, "cart") }).cookie
		}
		old, other := anonymous(), anonymous()
		stolen := f.login(0, "", "ada")
		_, err := f.all[0].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)

		// A login after it is one: at a process that has not read the list, too.
		ada := f.login(1, old, "ada")
		f.everywhere(ada, "ada")
		f.everywhere(stolen, "")

		// One that began before it is not, whoever commits first.
		crossing := f.do(1, other, func(r *http.Request, s *sessions.Session) error {
			require.NoError(f.t, logIn("ada")(r, s))
			_, err := f.all[0].Manager().RevokeAll(r.Context(), "ada")
			return err
		})
		if crossing.cookie != "" {
			f.everywhere(crossing.cookie, "")
		}
		f.everywhere(ada, "")
	})
}

// All processes end; what has ended does not live again.
func TestEndsOutliveTheProcesses(t *testing.T) {
	fleets(t, func(f *fleet) {
		out, moved, kept := f.login(0, "", "ada"), f.login(0, "", "grace"), f.login(0, "", "kept")
		revoked := f.login(0, "", "linus")
		f.do(0, out, logOut)
		next := f.do(0, moved, renew).cookie
		_, err := f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
		require.NoError(f.t, err)
		f.all = nil
		f.start(1)
		f.lives(0, out, "")
		f.lives(0, moved, "")
		f.lives(0, revoked, "")
		f.lives(0, next, "grace")
		f.lives(0, kept, "kept")
	})
}

// Sessions without an owner are listed if asked for, up to a limit.
func TestSessionsWithoutAnOwner(t *testing.T) {
	var refused atomic.Int64
	hooks := middleware.WithHooks(sessions.Hooks{Refused: func(_ context.Context, e sessions.Event) {
		if errors.Is(e.Err, stores.ErrFull) {
			refused.Add(1)
		}
	}})
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		begin := func() string {
			return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		}
		cookie := begin()
		swaps := list.swaps.Load()
		require.True(f.t, f.do(0, cookie, logOut).gone)
		require.NotEmpty(f.t, f.do(0, begin(), renew).cookie)
		require.Equal(f.t, swaps, list.swaps.Load())
		f.everywhere(cookie, "visitor")

		refused.Store(0)
		asked := f.start(1, middleware.WithAnonymousRevocation(10))
		for range 10 {
			cookie = begin()
			require.True(f.t, f.do(asked, cookie, logOut).gone)
		}
		f.everywhere(cookie, "")
		require.Zero(f.t, refused.Load())
		for _, do := range []func(*http.Request, *sessions.Session) error{logOut, renew} {
			a := f.do(asked, begin(), do)
			require.Equal(f.t, http.StatusServiceUnavailable, a.status)
			require.Empty(f.t, a.cookie)
			require.False(f.t, a.gone)
		}
		require.Equal(f.t, swaps+10+1, list.swaps.Load(), "one for each, and one of the process that has begun")
		require.NotZero(f.t, refused.Load())
		ada := f.login(asked, begin(), "ada") // who has an owner is not counted
		require.True(f.t, f.do(asked, ada, logOut).gone)
		f.everywhere(ada, "")

		time.Sleep(2 * time.Hour) // and when they are over there is room again
		require.True(f.t, f.do(asked, begin(), logOut).gone)
	}, hooks, middleware.WithLifetime(20*time.Minute))
}

// A logout after the response has begun can't take the cookie away, and ends the session.
func TestLateLogoutIsListed(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		h := f.all[0].HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			fmt.Fprint(w, "begun")
			s.Destroy()
			return nil
		})
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		r.Header.Set("Cookie", cookieName+"="+cookie)
		h.ServeHTTP(httptest.NewRecorder(), r)
		f.everywhere(cookie, "")
	})
}

// While keys change all processes find all sessions of an owner.
func TestRevokeAllWhileKeysChange(t *testing.T) {
	fleets(t, func(f *fleet) {
		first, second := encrypt.GenerateKey(), encrypt.GenerateKey()
		a := f.start(1, middleware.WithOwners(first, second))
		b := f.start(1, middleware.WithOwners(second, first))
		for _, by := range []int{a, b} {
			old, fresh := f.login(a, "", "ada"), f.login(b, "", "ada")
			_, err := f.all[by].Manager().RevokeAll(f.t.Context(), "ada")
			require.NoError(f.t, err)
			f.everywhere(old, "")
			f.everywhere(fresh, "")
			own, other := f.login(a, "", "ada"), f.login(b, "", "ada")
			own = f.do(by, own, func(r *http.Request, s *sessions.Session) error {
				_, err := f.all[by].Manager().RevokeOthers(r.Context(), s)
				return err
			}).cookie
			f.everywhere(own, "ada")
			f.everywhere(other, "")
		}
	})
}

// In the hybrid a small cookie does not outlive its session on the server.
func TestHybridsSmallCookieEnds(t *testing.T) {
	fleets(t, func(f *fleet) {
		if f.store().Place().Server == nil {
			return
		}
		small := f.login(0, "", "ada")
		a := f.do(0, small, func(_ *http.Request, s *sessions.Session) error { return text.Set(s, strings.Repeat("x", 5000)) })
		require.Len(f.t, a.cookie, 32)
		f.lives(1, small, "ada")
		f.do(0, a.cookie, logOut)
		f.everywhere(small, "")
		f.everywhere(a.cookie, "")

		small = f.login(0, "", "ada")
		large := f.do(0, small, func(_ *http.Request, s *sessions.Session) error { return text.Set(s, strings.Repeat("x", 5000)) }).cookie
		next := f.do(0, large, renew).cookie
		f.everywhere(small, "")
		f.everywhere(next, "ada")
		f.do(1, small, logOut)
		f.everywhere(next, "")
	})
}

// Two logouts, new IDs and revocations at once, real goroutines.
func TestRevocationRaces(t *testing.T) {
	f := &fleet{t: t, ctx: t.Context(), store: func() stores.Store { return cookiestore.Sealed() }, list: newListed(t), opts: []middleware.Option{
		middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
	}}
	for range 2 {
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, f.list, 100*time.Millisecond))...)
		require.NoError(t, err)
		f.all = append(f.all, mw)
	}
	for range 20 {
		cookie := f.login(0, "", "ada")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var out []string
		for i, do := range []func(*http.Request, *sessions.Session) error{logOut, renew, renew, logIn("ada"), f.revokeOthers, f.revokeOthers, change, look} {
			wg.Go(func() {
				a := f.do(i%2, cookie, do)
				mu.Lock()
				defer mu.Unlock()
				if a.cookie != "" && !a.gone {
					out = append(out, a.cookie)
				}
			})
		}
		wg.Wait()
		time.Sleep(250 * time.Millisecond)
		// Whatever came first, the logout has been: none lives, but that of a login,
		// which a request with the old ID may make.
		alive := 0
		for _, c := range out {
			if a := f.do(0, c, look); a.body != "" {
				alive++
			}
		}
		require.LessOrEqual(t, alive, 1)
		f.lives(0, cookie, "")
	}
}

// A cookie from before its session's time was shortened is good for longer than the session.
// What stands in the list for the session's end lasts as long as that.
func TestEndOfAShortenedSession(t *testing.T) {
	limit := func(_ *http.Request, s *sessions.Session) error { return s.Limit(time.Hour, 0) }
	began := func(_ *http.Request, s *sessions.Session) error {
		return s.BeganAt(time.Now().Add(time.Hour - 30*24*time.Hour))
	}
	for what, shorten := range map[string]func(*http.Request, *sessions.Session) error{"Limit": limit, "BeganAt": began} {
		for how, end := range map[string]func(*http.Request, *sessions.Session) error{"logout": logOut, "new ID": renew} {
			t.Run(what+"/"+how, func(t *testing.T) {
				fleets(t, func(f *fleet) {
					before := f.login(0, "", "ada")
					after := f.do(0, before, shorten).cookie
					after = f.do(0, after, func(r *http.Request, s *sessions.Session) error { return s.Limit(time.Minute, 0) }).cookie
					require.Equal(f.t, http.StatusOK, f.do(0, after, end).status)
					f.everywhere(before, "")
					time.Sleep(25 * time.Hour)
					f.everywhere(before, "")
					f.start(1)
					f.everywhere(before, "")
				})
			})
		}
	}
}
