// Sse streams server-sent events to users who are logged in, and ends each stream with
// its session:
//
//	go run ./examples/sse
//
// Open two tabs and log out in one of them. With -idle 1m the stream of a user who does
// nothing else ends after a minute: to be sent events is not to use the session.
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

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// EventSource connects again by itself when a stream breaks off. So a stream that ended
// with its session says so, and the page does not ask again; a request that comes all
// the same gets 401, after which EventSource gives up.
var page = template.Must(template.New("page").Parse(`<!doctype html><title>Events</title>
{{if .}}<h1>{{.}}: event <span id="n">0</span></h1><p id="end"></p>
<form method="post" action="/logout"><button>Log out</button></form>
<form method="post" action="/logout-everywhere"><button>Log out everywhere</button></form>
<script>
const events = new EventSource("/events")
events.onmessage = e => document.getElementById("n").textContent = e.data
events.addEventListener("end", e => { events.close(); document.getElementById("end").textContent = e.data })
</script>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required><button>Log in</button></form>{{end}}
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	lifetime := flag.Duration("lifetime", 24*time.Hour, "when a session ends, whatever happens")
	idle := flag.Duration("idle", time.Hour, "when a session ends that is not used")
	flag.Parse()

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store, time.Second,
		middleware.WithLifetime(*lifetime),
		middleware.WithRolling(*idle),
		// For "log out everywhere". Where the store outlives the process, so must
		// the key.
		middleware.WithOwners(encrypt.GenerateKey()),
	)
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

// site is the program.
type site struct {
	manager  *sessions.Manager
	interval time.Duration // between two events
}

func newHandler(store stores.Store, interval time.Duration, options ...middleware.Option) (http.Handler, error) {
	mw, err := middleware.New(store, options...)
	if err != nil {
		return nil, err
	}
	s := &site{mw.Manager(), interval}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(s.home))
	mux.Handle("GET /events", mw.HandlerFunc(s.events))
	mux.Handle("POST /login", mw.HandlerFunc(s.login))
	mux.Handle("POST /logout", mw.HandlerFunc(s.logout))
	mux.Handle("POST /logout-everywhere", mw.HandlerFunc(s.logoutEverywhere))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func (s *site) home(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, session.Owner())
}

func (s *site) events(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	user := session.Owner()
	if user == "" {
		http.Error(w, "nobody is logged in", http.StatusUnauthorized)
		return nil
	}
	ctx, err := sessions.Watch(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	ticks := time.NewTicker(s.interval)
	defer ticks.Stop()
	for n := 1; ; n++ {
		fmt.Fprintf(w, "data: %d\n\n", n)
		if err := stream.Flush(); err != nil {
			return nil // the client is gone
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(w, "event: end\ndata: %s\n\n", reason(context.Cause(ctx)))
			return nil
		case <-ticks.C:
		}
	}
}

// reason is what a user should know of why a stream ended.
func reason(cause error) string {
	switch {
	case errors.Is(cause, sessions.ErrDeadline), errors.Is(cause, sessions.ErrIdle):
		return "Your session has expired."
	case errors.Is(cause, sessions.ErrRevoked):
		return "You were logged out everywhere."
	case errors.Is(cause, sessions.ErrEnded):
		return "You have logged out."
	}
	return "Something went wrong." // or nobody is there to read it
}

func (s *site) login(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	// A real site asks for a password; see examples/login.
	if err := session.SetOwner(r.Context(), r.FormValue("user")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (s *site) logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	session.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (s *site) logoutEverywhere(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	user := session.Owner()
	if user == "" {
		return s.logout(w, r, session)
	}
	if _, err := s.manager.RevokeAll(r.Context(), user); err != nil {
		return err
	}
	return s.logout(w, r, session)
}
