// Sessiononly has sessions that go when the browser is closed: the cookie has
// no Max-Age. That is the default, whatever the lifetime, so there is no option for
// it:
//
//	go run ./examples/sessiononly
//
// Browsers that restore their windows keep such cookies, and a copy of one ends
// by nothing that a browser does. So the server has the last word, here after 12
// hours.
package main

import (
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const limit = 12 * time.Hour // for the server, however long the browser keeps the cookie

const colour = sessions.Key[string]("colour")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Session-only</title>
<p>{{if .}}Your colour is {{.}}, until you close the browser.{{else}}You have no colour.{{end}}</p>
<form method="post" action="/colour"><input name="colour" placeholder="colour" required><button>Choose</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/", port)
	log.Fatal(http.Serve(listener, handler))
}

func newHandler(store stores.Store) (http.Handler, error) {
	// No WithPersistentCookie. Without WithLifetime the limit is 30 days.
	mw, err := middleware.New(store, middleware.WithLifetime(limit))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /colour", mw.HandlerFunc(choose))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	c, err := colour.GetOr(s, "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, c)
}

func choose(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := colour.Set(s, r.FormValue("colour")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
