package middleware_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
)

func logInBy(name, sid string) func(*http.Request, *sessions.Session) error {
	return func(r *http.Request, s *sessions.Session) error {
		if err := s.SetOwner(r.Context(), name, sessions.WithExternal("https://op.example", sid)); err != nil {
			return err
		}
		return user.Set(s, name)
	}
}

// A provider's logout ends sessions in cookies as well, by the list.
func TestExternalIDsInCookies(t *testing.T) {
	fleets(t, func(f *fleet) {
		first := f.do(0, "", logInBy("ada", "s1")).cookie
		moved := f.do(0, "", logInBy("ada", "s1")).cookie
		moved = f.do(1, moved, renew).cookie
		proved := f.do(0, "", logInBy("ada", "s1")).cookie
		proved = f.do(1, proved, logIn("ada")).cookie // the password once more
		again := f.do(0, f.do(0, "", logInBy("ada", "s1")).cookie, logInBy("ada", "s2")).cookie
		taken := f.do(0, f.do(0, "", logInBy("ada", "s1")).cookie, logIn("bob")).cookie
		without := f.login(0, "", "ada")

		_, err := f.all[1].Manager().RevokeExternal(t.Context(), "https://op.example", "s1")
		require.NoError(t, err)
		for _, cookie := range []string{first, moved, proved} {
			f.everywhere(cookie, "")
		}
		for _, cookie := range []string{again, without} {
			f.everywhere(cookie, "ada")
		}
		f.everywhere(taken, "bob")

		// For good, also where the login was begun before.
		a := f.do(0, "", logInBy("ada", "s1"))
		require.ErrorIs(t, a.err, sessions.ErrRevoked)
		require.Equal(t, http.StatusConflict, a.status)
		late := f.do(0, "", func(r *http.Request, s *sessions.Session) error {
			if err := logInBy("ada", "s3")(r, s); err != nil {
				return err
			}
			_, err := f.all[1].Manager().RevokeExternal(t.Context(), "https://op.example", "s3")
			return err
		})
		f.everywhere(late.cookie, "")

		// All of the user is all.
		_, err = f.all[0].Manager().RevokeAll(t.Context(), "ada")
		require.NoError(t, err)
		f.everywhere(again, "")
		time.Sleep(time.Hour)
		require.Equal(t, http.StatusOK, f.do(0, "", logInBy("ada", "s4")).status)
	})
}
