// Package scs is the cart with alexedwards/scs.
package scs

import (
	"encoding/gob"
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

type items map[string]int

func init() { gob.Register(items{}) }

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Cart</title>
{{range $name, $n := .}}<p>Item: {{$n}} {{$name}}</p>{{else}}<p>The cart is empty.</p>{{end}}`))

type site struct{ sessions *scs.SessionManager }

// New returns the program.
func New() http.Handler {
	s := &site{scs.New()}
	s.sessions.Lifetime = 12 * time.Hour
	s.sessions.Cookie.Secure = true
	s.sessions.Cookie.Persist = false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /add", s.change(+1))
	mux.HandleFunc("POST /remove", s.change(-1))
	mux.HandleFunc("POST /checkout", s.checkout)
	return http.NewCrossOriginProtection().Handler(s.sessions.LoadAndSave(mux))
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	list, _ := s.sessions.Get(r.Context(), "cart").(items)
	if err := page.Execute(w, list); err != nil {
		log.Print(err)
	}
}

func (s *site) change(by int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("item")
		list, _ := s.sessions.Get(r.Context(), "cart").(items)
		if list == nil {
			list = items{}
		}
		if list[name] += by; list[name] <= 0 {
			delete(list, name)
		}
		s.sessions.Put(r.Context(), "cart", list)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *site) checkout(w http.ResponseWriter, r *http.Request) {
	s.sessions.Remove(r.Context(), "cart")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
