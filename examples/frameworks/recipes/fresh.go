package recipes

import (
	"net/http"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Confirmed has pages that need the password of a moment ago, and the page that asks
// for it.
func Confirmed(store stores.Store, keys middleware.Option, accounts Accounts, codes http.Handler) (http.Handler, error) {
	mw, err := middleware.New(store, keys, middleware.WithProofPage("/confirm"))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/codes", mw.RequireFresh(10*time.Minute, codes))
	mux.HandleFunc("GET /confirm", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`<!doctype html><form method="post" action="/confirm"><input name="password" type="password"><button>Confirm</button></form>`))
	})
	mux.Handle("POST /confirm", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		ok, err := accounts.Check(r.Context(), s.Owner(), r.FormValue("password"))
		if err != nil {
			return err
		}
		if !ok {
			http.Error(w, "The password is wrong.", http.StatusForbidden)
			return nil
		}
		if err := s.Regenerate(); err != nil {
			return err
		}
		if err := s.SetAuthenticated(time.Now()); err != nil {
			return err
		}
		http.Redirect(w, r, middleware.WayBack(s, "/"), http.StatusSeeOther)
		return nil
	}))
	mux.Handle("POST /login", mw.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return s.SetOwner(r.Context(), r.FormValue("user")) // by a passkey, say; it is not the password
	}))
	return mux, nil
}
