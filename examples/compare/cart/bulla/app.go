// Package bulla is the cart with Bulla.
package bulla

import (
	"html/template"
	"net/http"
	"time"

	"github.com/bulla-go/bulla"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

type items map[string]int

const cart = sessions.Key[items]("cart")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Cart</title>
{{range $name, $n := .}}<p>Item: {{$n}} {{$name}}</p>{{else}}<p>The cart is empty.</p>{{end}}`))

// New returns the program.
func New() http.Handler {
	mw := bulla.Must(middleware.New(bulla.Must(memstore.New()), middleware.WithLifetime(12*time.Hour)))
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /add", mw.HandlerFunc(change(+1)))
	mux.Handle("POST /remove", mw.HandlerFunc(change(-1)))
	mux.Handle("POST /checkout", mw.HandlerFunc(checkout))
	return http.NewCrossOriginProtection().Handler(mux)
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	list, err := cart.GetOr(s, nil)
	if err != nil {
		return err
	}
	return page.Execute(w, list)
}

func change(by int) func(http.ResponseWriter, *http.Request, *sessions.Session) error {
	return func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		name := r.FormValue("item")
		_, err := cart.Update(s, func(list items) items {
			if list == nil {
				list = items{}
			}
			if list[name] += by; list[name] <= 0 {
				delete(list, name)
			}
			return list
		})
		return back(w, r, err)
	}
}

func checkout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	return back(w, r, cart.Delete(s))
}

func back(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	return err
}
