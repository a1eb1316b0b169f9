// Package gorilla is the login with gorilla/sessions.
package gorilla

import (
	"html/template"
	"log"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Login</title>
{{range .Notices}}<p>Notice: {{.}}</p>{{end}}<p>User: {{.User}}</p><p>Theme: {{.Theme}}</p>`))

type view struct {
	User, Theme string
	Notices     []any
}

type site struct{ store *sessions.CookieStore }

// New returns the program.
func New() http.Handler {
	s := &site{sessions.NewCookieStore(securecookie.GenerateRandomKey(64), securecookie.GenerateRandomKey(32))}
	s.store.MaxAge(12 * 60 * 60)
	s.store.Options.Secure = true
	s.store.Options.HttpOnly = true
	s.store.Options.SameSite = http.SameSiteLaxMode
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /settings", s.settings)
	mux.HandleFunc("POST /logout", s.logout)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session") // a cookie that does not open is a new session
	v := view{User: "nobody", Theme: "light", Notices: session.Flashes()}
	if name, ok := session.Values["user"].(string); ok {
		v.User = name
	}
	if theme, ok := session.Values["theme"].(string); ok {
		v.Theme = theme
	}
	if len(v.Notices) > 0 {
		if err := session.Save(r, w); err != nil {
			fail(w, err)
			return
		}
	}
	if err := page.Execute(w, v); err != nil {
		log.Print(err)
	}
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session")
	name := r.FormValue("user")
	session.Values["user"] = name
	session.AddFlash("Welcome, " + name + ".")
	s.back(w, r, session)
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session")
	session.Values["theme"] = r.FormValue("theme")
	session.AddFlash("Saved.")
	s.back(w, r, session)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session")
	session.Options.MaxAge = -1
	s.back(w, r, session)
}

func (s *site) back(w http.ResponseWriter, r *http.Request, session *sessions.Session) {
	if err := session.Save(r, w); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
