package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// What no feature's own tests see: two of them in one session.

// RevokeOthers gives a session in a cookie a new ID. That is no login: its times stay.
func TestRevokeOthersLengthensNothing(t *testing.T) {
	fleets(t, func(f *fleet) {
		var md sessions.Metadata
		times := func(_ *http.Request, s *sessions.Session) error { md = s.Metadata(); return nil }
		own := f.do(0, "", func(r *http.Request, s *sessions.Session) error {
			return errors.Join(s.SetOwner(r.Context(), "ada"), s.Limit(time.Hour, 20*time.Minute), s.SetAuthenticated(time.Now()), user.Set(s, "ada"))
		}).cookie
		f.do(0, own, times)
		before := md
		time.Sleep(time.Minute)
		own = f.do(0, own, f.revokeOthers).cookie
		f.do(0, own, times)
		require.Equal(f.t, before.Deadline, md.Deadline)
		require.Equal(f.t, before.Created, md.Created)
		require.Equal(f.t, before.Authenticated, md.Authenticated)
		time.Sleep(20 * time.Minute)
		f.lives(0, own, "")
	})
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

// A handler that ends the others and then fails has not ended its own session.
func TestRevokeOthersOfAHandlerThatFails(t *testing.T) {
	failed := errors.New("no page")
	for what, fail := range map[string]func(context.Context, *sessions.Session) error{
		"error":     func(context.Context, *sessions.Session) error { return failed },
		"discarded": func(_ context.Context, s *sessions.Session) error { s.Discard(); return nil },
		"too large": func(_ context.Context, s *sessions.Session) error { return text.Set(s, strings.Repeat("x", 2<<20)) },
		"too large midway": func(ctx context.Context, s *sessions.Session) error {
			err := text.Set(s, strings.Repeat("x", 2<<20))
			if err == nil && sessions.Commit(ctx) == nil {
				err = errors.New("it had room")
			}
			return err
		},
		"committed before": func(ctx context.Context, s *sessions.Session) error {
			return errors.Join(sessions.Commit(ctx), text.Set(s, "x"), failed)
		},
	} {
		t.Run(what, func(t *testing.T) {
			fleets(t, func(f *fleet) {
				own, other := f.login(0, "", "ada"), f.login(1, "", "ada")
				a := f.do(0, own, func(r *http.Request, s *sessions.Session) error {
					if err := f.revokeOthers(r, s); err != nil {
						return err
					}
					return fail(r.Context(), s)
				})
				require.NotEmpty(f.t, a.cookie)
				f.everywhere(own, "")
				f.everywhere(other, "")
				f.everywhere(a.cookie, "ada")
				f.do(0, a.cookie, func(_ *http.Request, s *sessions.Session) error {
					require.Equal(f.t, []string{"user"}, s.Names())
					return nil
				})

				// A logout after it is one all the same.
				b := f.do(0, a.cookie, func(r *http.Request, s *sessions.Session) error {
					err := f.revokeOthers(r, s)
					s.Destroy()
					return errors.Join(err, failed)
				})
				require.True(f.t, b.gone)
				f.everywhere(a.cookie, "")
			})
		})
	}
}

// Who comes with a session that has ended elsewhere ends nobody's.
func TestRevokeOthersOfAnEndedSession(t *testing.T) {
	fleets(t, func(f *fleet) {
		own, other := f.login(0, "", "ada"), f.login(0, "", "ada")
		require.Equal(f.t, http.StatusOK, f.do(0, own, logOut).status)
		a := f.do(1, own, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[1].Manager().RevokeOthers(r.Context(), s)
			return err
		})
		f.ended(a)
		f.everywhere(other, "ada")
	})
}

// Nor with a cookie cache's copy of one.
func TestRevokeOthersOfACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memstore.New()
		require.NoError(t, err)
		mw, err := middleware.New(store, middleware.WithOwners(encrypt.GenerateKey()), quiet,
			middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithCookieCache(time.Minute))
		require.NoError(t, err)
		f := &fleet{t: t, all: []*middleware.Middleware{mw}, every: every}
		own, other := f.login(0, "", "ada"), f.login(0, "", "ada")
		require.Equal(t, http.StatusOK, f.do(0, own, logOut).status)
		f.lives(0, own, "ada") // as documented, for a minute
		f.ended(f.do(0, own, func(r *http.Request, s *sessions.Session) error {
			_, err := mw.Manager().RevokeOthers(r.Context(), s)
			return err
		}))
		time.Sleep(time.Hour)
		f.lives(0, other, "ada")
		f.lives(0, own, "")

		require.Equal(t, http.StatusOK, f.do(0, other, func(r *http.Request, s *sessions.Session) error {
			_, err := mw.Manager().RevokeOthers(r.Context(), s)
			return err
		}).status)
		f.lives(0, other, "ada")
	})
}

// The record of a session that ended with everybody's stays on the server. It keeps nobody
// from logging in again, and is on no list.
func TestRevokeEverythingMakesRoom(t *testing.T) {
	for _, over := range []sessions.Overflow{sessions.RefuseNew, sessions.EndOldest} {
		synctest.Test(t, func(t *testing.T) {
			store, err := memstore.New()
			require.NoError(t, err)
			mw, err := middleware.New(store, middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(2, over), quiet,
				middleware.WithRevocation(t.Context(), newListed(t), every))
			require.NoError(t, err)
			f := &fleet{t: t, all: []*middleware.Middleware{mw}, every: every}
			synctest.Wait()
			f.login(0, "", "ada")
			f.login(0, "", "ada")
			require.NoError(t, mw.Manager().RevokeEverything(t.Context()))
			list, err := mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Empty(t, list)
			own, other := f.login(0, "", "ada"), f.login(0, "", "ada")
			f.lives(0, own, "ada")
			f.lives(0, other, "ada")
			list, err = mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, list, 2)
			third := map[sessions.Overflow]int{sessions.RefuseNew: http.StatusForbidden, sessions.EndOldest: http.StatusOK}
			require.Equal(t, third[over], f.do(0, "", logIn("ada")).status)
			n, err := mw.Manager().RevokeAll(t.Context(), "ada")
			require.NoError(t, err)
			require.Equal(t, 4, n, "those that had ended, too")
		})
	}
}

// A job, or a stream, moves the idle time on, and no cookie goes out with it. The browser
// keeps the one that it has for as long as the session can live.
func TestPersistentCookieBesideAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw := memory(t).new(t, middleware.WithRolling(time.Hour), middleware.WithPersistentCookie())
		var id sessions.ID
		visit := func(cookie string) answer {
			return ask(mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				id = s.ID()
				if s.IsNew() {
					return user.Set(s, "ada")
				}
				return nil
			}), "/", cookie)
		}
		first := visit("")
		cookie, gone := first.value(t), time.Now().Add(time.Duration(first.Cookies()[0].MaxAge)*time.Second)
		for range 120 {
			time.Sleep(time.Minute)
			require.NoError(t, mw.Manager().Resume(t.Context(), id, func(_ context.Context, s *sessions.Session) error {
				increment(s)
				return nil
			}))
			require.True(t, time.Now().Before(gone), "the browser has dropped the cookie of a session in use")
			require.Empty(t, visit(cookie).ours())
		}
	})
}
