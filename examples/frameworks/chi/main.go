// Chi keeps sessions under chi's router:
//
//	go run ./chi
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	visits = sessions.Key[int]("visits")
	events = sessions.Key[int]("events")
	user   = sessions.Key[string]("user")
)

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
	log.Printf("open http://%s/", *addr)
	log.Fatal(http.ListenAndServe(*addr, handler))
}

func newHandler(store stores.Store) (http.Handler, error) {
	mw, err := middleware.New(store, middleware.WithLifetime(14*24*time.Hour))
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	// Outside the sessions: the log has the status that was sent, also where
	// the session could not be stored.
	r.Use(chimw.Logger, chimw.Recoverer)
	r.Use(http.NewCrossOriginProtection().Handler)
	r.Use(mw.Handler)
	r.Method("GET", "/", mw.HandlerFunc(home))
	r.Method("GET", "/whoami", mw.HandlerFunc(whoami))
	r.Method("POST", "/login", mw.HandlerFunc(login))
	r.Method("POST", "/logout", mw.HandlerFunc(logout))
	r.Method("GET", "/stream", mw.HandlerFunc(stream))
	r.Method("GET", "/events", mw.HandlerFunc(counted))
	return r, nil
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Visit %d\n", n)
	return err
}

func whoami(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	name, err := user.GetOr(s, "nobody")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, name)
	return err
}

func login(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	// A real login checks a password here. Then the session gets a new ID, so
	// that whoever knew the old one is not logged in too.
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := user.Set(s, r.FormValue("user")); err != nil {
		return err
	}
	http.Redirect(w, r, "/whoami", http.StatusSeeOther)
	return nil
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/whoami", http.StatusSeeOther)
	return nil
}

// stream counts its events in the session. The first one is stored before the
// first byte and brings the cookie; the others when the stream ends.
func stream(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	out := http.NewResponseController(w)
	for {
		n, err := events.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			return err // logged: the answer has begun
		}
		fmt.Fprintf(w, "event %d\n", n)
		if out.Flush() != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-ticks.C:
		}
	}
}

func counted(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	n, err := events.GetOr(s, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, n)
	return err
}
