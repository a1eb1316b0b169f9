package middleware_test

import (
	"context"
	"errors"
	"fmt"
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

// RevokeOthers with a copy of the same cookie in a thief's hands.
func TestRevokeOthersEndsTheCopies(t *testing.T) {
	fleets(t, func(f *fleet) {
		own, other := f.login(0, "", "ada"), f.login(1, "", "ada")
		a := f.do(0, own, f.revokeOthers)
		require.Equal(f.t, http.StatusOK, a.status)
		require.NotEmpty(f.t, a.cookie)
		f.lives(1, own, "ada")
		thiefs := f.do(1, own, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[1].Manager().RevokeOthers(r.Context(), s)
			return err
		})
		require.ErrorIs(f.t, thiefs.err, sessions.ErrEnded)
		require.Empty(f.t, thiefs.cookie)
		f.everywhere(own, "")
		f.everywhere(other, "")
		f.everywhere(a.cookie, "ada")

		// Of two at once one wins, and an end of all in between ends both.
		again := f.do(0, a.cookie, f.revokeOthers)
		f.everywhere(again.cookie, "ada")
		b := f.do(0, again.cookie, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[1].Manager().RevokeAll(r.Context(), "ada")
			return errors.Join(err, f.revokeOthers(r, s))
		})
		require.ErrorIs(f.t, b.err, sessions.ErrRevoked)
		f.everywhere(again.cookie, "")
	})
}

// Where the session can't get a new ID any more, RevokeOthers fails and ends nothing: the
// user who is told of the failure is still logged in.
func TestRevokeOthersTooLate(t *testing.T) {
	fleets(t, func(f *fleet) {
		own, other := f.login(0, "", "ada"), f.login(1, "", "ada")
		var failed error
		h := f.all[0].HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			fmt.Fprint(w, "begun")
			failed = f.revokeOthers(r, s)
			return nil
		})
		require.Equal(f.t, http.StatusOK, ask(h, "/", own).StatusCode)
		require.ErrorIs(f.t, failed, sessions.ErrTooLate)
		f.everywhere(own, "ada")
		f.everywhere(other, "ada")

		a := f.do(0, own, func(r *http.Request, s *sessions.Session) error {
			f.do(1, own, logOut)
			return errors.Join(sessions.Commit(r.Context()), f.revokeOthers(r, s))
		})
		require.ErrorIs(f.t, a.err, sessions.ErrEnded)
		f.everywhere(own, "")
		f.everywhere(other, "ada")
	})
}

// A logout in another tab, while one ends the others.
func TestLogoutCrossesRevokeOthers(t *testing.T) {
	fleets(t, func(f *fleet) {
		for process := range 2 {
			own := f.login(0, "", "ada")
			a := f.do(0, own, func(r *http.Request, s *sessions.Session) error {
				require.NoError(f.t, f.revokeOthers(r, s))
				require.Equal(f.t, http.StatusOK, f.do(process, own, logOut).status)
				return nil
			})
			require.Empty(f.t, a.cookie)
			f.everywhere(own, "")

			own = f.login(0, "", "ada")
			next := f.do(0, own, f.revokeOthers).cookie
			require.Equal(f.t, http.StatusOK, f.do(process, own, logOut).status)
			f.everywhere(next, "")
		}
	})
}

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
