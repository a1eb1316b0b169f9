// Package gorilla is the cart with gorilla/sessions.
package gorilla

import (
	"encoding/gob"
	"html/template"
	"log"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

type items map[string]int

func init() { gob.Register(items{}) }

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Cart</title>
{{range $name, $n := .}}<p>Item: {{$n}} {{$name}}</p>{{else}}<p>The cart is empty.</p>{{end}}`))

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
	mux.HandleFunc("POST /add", s.change(+1))
	mux.HandleFunc("POST /remove", s.change(-1))
	mux.HandleFunc("POST /checkout", s.checkout)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session") // a cookie that does not open is a new session
	list, _ := session.Values["cart"].(items)
	if err := page.Execute(w, list); err != nil {
		log.Print(err)
	}
}

func (s *site) change(by int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("item")
		session, _ := s.store.Get(r, "session")
		list, _ := session.Values["cart"].(items)
		if list == nil {
			list = items{}
		}
		if list[name] += by; list[name] <= 0 {
			delete(list, name)
		}
		session.Values["cart"] = list
		s.back(w, r, session)
	}
}

func (s *site) checkout(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session")
	delete(session.Values, "cart")
	s.back(w, r, session)
}

func (s *site) back(w http.ResponseWriter, r *http.Request, session *sessions.Session) {
	if err := session.Save(r, w); err != nil {
		log.Print(err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
