package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// After a release that has changed a type, a handler that can do without the value
// answers, and so does from then on the one that can't. Nothing is lost where nobody
// decided that it may be.
func TestATypeThatHasChanged(t *testing.T) {
	const (
		before = sessions.Key[string]("cart")
		now    = sessions.Key[[]int]("cart")
		flash  = sessions.Flash[string]("notices")
	)
	each(t, func(t *testing.T, s setup, h func(*middleware.Middleware, function) http.Handler) {
		mw := s.new(t, silent())
		handlers := map[string]function{
			"/old": func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				return errors.Join(user.Set(s, "ada"), before.Set(s, "tea"), sessions.Key[int]("notices").Set(s, 7))
			},
			"/fails": func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				items, err := now.GetOr(s, nil)
				if err == nil {
					_, err = fmt.Fprint(w, items)
				}
				return err
			},
			"/updates": func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				_, err := now.Update(s, func(list []int) []int { return append(list, 1) })
				return err
			},
			"/copes": func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				items, err := now.GetOr(s, nil)
				if errors.Is(err, sessions.ErrDecode) {
					err = now.Delete(s)
				}
				if err == nil {
					_, err = fmt.Fprint(w, items)
				}
				return err
			},
			"/pops": func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
				list, err := flash.Pop(s)
				if errors.Is(err, sessions.ErrDecode) {
					err = flash.Delete(s)
				}
				if err == nil {
					_, err = fmt.Fprint(w, list, s.Names())
				}
				return err
			},
		}
		site := serve(t, h(mw, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			return handlers[r.URL.Path](w, r, s)
		}))
		status := func(path string, want int) { t.Helper(); require.Equal(t, want, site.get(path).StatusCode, path) }
		status("/old", 200)
		for range 2 {
			status("/fails", 500)
			status("/updates", 500)
		}
		require.Equal(t, "[]", site.get("/copes").body)
		require.Equal(t, "[]", site.get("/fails").body)
		status("/updates", 200)
		require.Equal(t, "[1]", site.get("/fails").body)
		require.Equal(t, "[] [cart user]", site.get("/pops").body)
		require.Equal(t, "[] [cart user]", site.get("/pops").body)
	})
}
