// Autoload loads the session before the handler runs, for the paths that say so:
//
//	go run ./examples/autoload
//
// What runs inside a handler then finds the session in the context, with no I/O
// and no error of the store to handle. Paths without autoload that ask for no
// session cost nothing: / below never asks the store.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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

const name = sessions.Key[string]("name")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Autoload</title>
<h1>{{.}}</h1>
<form method="post" action="/start"><input name="name" placeholder="name" required><button>Start</button></form>
<p><a href="/">Public page</a> <a href="/app/">App</a> <a href="/app/settings">Settings</a> <a href="/report">Report</a></p>
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
	mw, err := middleware.New(store,
		middleware.WithLifetime(time.Hour),
		// The patterns of http.ServeMux: a subtree, and one path with its
		// method. "/app/" does not match "/application".
		middleware.WithAutoload("/app/", "GET /report"),
		// Autoload that fails is answered here, and the handler does not run.
		middleware.WithErrorHandler(unavailable),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", public)
	mux.Handle("POST /start", mw.HandlerFunc(start))
	mux.HandleFunc("GET /app/{$}", titled("App"))
	mux.HandleFunc("GET /app/settings", titled("Settings"))
	mux.HandleFunc("GET /report", titled("Report"))
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

// public never looks at the session, so the store is not asked, even where the
// client has the cookie.
func public(w http.ResponseWriter, _ *http.Request) {
	show(w, "A page without a session")
}

// start is no autoload path: HandlerFunc loads the session itself.
func start(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := name.Set(s, r.FormValue("name")); err != nil {
		return err
	}
	http.Redirect(w, r, "/app/", http.StatusSeeOther)
	return nil
}

func titled(title string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := visitor(r.Context())
		if errors.Is(err, sessions.ErrNoValue) {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		} else if err != nil {
			unavailable(w, r, err)
			return
		}
		show(w, fmt.Sprintf("%s of %s", title, who))
	}
}

// visitor may be called as deep in the program as one likes: FromContext does no
// I/O. Without a cookie there is nothing to load, and autoload leaves it alone.
func visitor(ctx context.Context) (string, error) {
	s, err := sessions.FromContext(ctx)
	if errors.Is(err, sessions.ErrNotLoaded) {
		return "", sessions.ErrNoValue
	} else if err != nil {
		return "", err
	}
	return name.Get(s)
}

func show(w http.ResponseWriter, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, title)
}

func unavailable(w http.ResponseWriter, _ *http.Request, err error) {
	log.Print(err)
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}
