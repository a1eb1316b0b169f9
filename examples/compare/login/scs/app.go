// Package scs is the login with alexedwards/scs.
package scs

import (
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Login</title>
{{with .Notice}}<p>Notice: {{.}}</p>{{end}}<p>User: {{.User}}</p><p>Theme: {{.Theme}}</p>`))

type view struct{ User, Theme, Notice string }

type site struct{ sessions *scs.SessionManager }

// New returns the program.
func New() http.Handler {
	s := &site{scs.New()}
	s.sessions.Lifetime = 12 * time.Hour
	s.sessions.Cookie.Secure = true
	s.sessions.Cookie.Persist = false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /settings", s.settings)
	mux.HandleFunc("POST /logout", s.logout)
	return http.NewCrossOriginProtection().Handler(s.sessions.LoadAndSave(mux))
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	v := view{
		User:   s.sessions.GetString(r.Context(), "user"),
		Theme:  s.sessions.GetString(r.Context(), "theme"),
		Notice: s.sessions.PopString(r.Context(), "notice"),
	}
	if v.User == "" {
		v.User = "nobody"
	}
	if v.Theme == "" {
		v.Theme = "light"
	}
	if err := page.Execute(w, v); err != nil {
		log.Print(err)
	}
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		fail(w, err)
		return
	}
	name := r.FormValue("user")
	s.sessions.Put(r.Context(), "user", name)
	s.sessions.Put(r.Context(), "notice", "Welcome, "+name+".")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	s.sessions.Put(r.Context(), "theme", r.FormValue("theme"))
	s.sessions.Put(r.Context(), "notice", "Saved.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
