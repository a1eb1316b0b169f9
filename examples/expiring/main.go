// Expiring is a quiz that must be finished within ten minutes: the lifetime counts
// from the session's creation, and no answer that is saved lengthens it:
//
//	go run ./examples/expiring
//
// Only a login (Session.Regenerate, Session.SetOwner) starts it anew, and there is
// none here. Whoever deletes the cookie can begin anew all the same: a quiz that
// matters keeps the time of the start with the user's account.
package main

import (
	"errors"
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

const lifetime = 10 * time.Minute

const answers = sessions.Key[[]string]("answers")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Quiz</title>
{{if .Running}}<h1>{{.Remaining}} left</h1><p>Name prime numbers.</p>
<ol>{{range .Answers}}<li>{{.}}</li>{{end}}</ol>
<form method="post" action="/answer"><input name="answer" required><button>Answer</button></form>
{{else}}<form method="post" action="/start"><button>Start: you have ten minutes</button></form>{{end}}
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
	mw, err := middleware.New(store, middleware.WithLifetime(lifetime))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /start", mw.HandlerFunc(start))
	mux.Handle("POST /answer", mw.HandlerFunc(answer))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	given, err := answers.Get(s)
	if err != nil && !errors.Is(err, sessions.ErrNoValue) {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, struct {
		Running   bool
		Remaining time.Duration
		Answers   []string
	}{err == nil, s.Remaining().Round(time.Second), given})
}

// start begins the quiz, once: with a second start the clock goes on.
func start(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if _, err := answers.Update(s, func(given []string) []string { return append([]string{}, given...) }); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func answer(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if _, err := answers.Get(s); errors.Is(err, sessions.ErrNoValue) {
		// Never begun, or over: an expired session is gone, with its values.
		http.Error(w, "the time is over", http.StatusForbidden)
		return nil
	} else if err != nil {
		return err
	}
	if _, err := answers.Update(s, func(given []string) []string { return append(given, r.FormValue("answer")) }); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
