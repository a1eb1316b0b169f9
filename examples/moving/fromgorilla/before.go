package main

import (
	"encoding/gob"
	"net/http"

	"github.com/gorilla/sessions"
)

const sessionName = "session-name"

// Both programs register the type: the one to write it, the other to read it.
func init() { gob.Register([]item{}) }

// before is the application with gorilla/sessions.
func before(key []byte) http.Handler {
	store := sessions.NewCookieStore(key)
	store.Options.HttpOnly = true

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s, _ := store.Get(r, sessionName) // a cookie that does not verify is a new session
		user, _ := s.Values["user"].(string)
		cart, _ := s.Values["cart"].([]item)
		page(w, user, cart)
	})
	change := func(f func(*http.Request, *sessions.Session)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, sessionName)
			f(r, s)
			if err := s.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}
	}
	mux.Handle("POST /login", change(func(r *http.Request, s *sessions.Session) {
		s.Values["user"] = r.FormValue("user")
	}))
	mux.Handle("POST /buy", change(func(_ *http.Request, s *sessions.Session) {
		cart, _ := s.Values["cart"].([]item)
		s.Values["cart"] = append(cart, item{"tea", 1})
	}))
	mux.Handle("POST /logout", change(func(_ *http.Request, s *sessions.Session) {
		s.Options.MaxAge = -1
	}))
	return mux
}
