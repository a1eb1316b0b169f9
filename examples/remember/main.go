// Remember is a login with a box "remember me":
//
//	go run ./examples/remember
//
// With it the browser keeps the cookie when it is closed, and the session lives
// for 30 days, or until it was not used for 7. Without it the browser forgets the
// cookie, and the server the session after 12 hours, or one hour without use.
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

// The longest times are the middleware's; a session can only shorten them.
const (
	lifetime = 30 * 24 * time.Hour
	idle     = 7 * 24 * time.Hour

	shortLifetime = 12 * time.Hour
	shortIdle     = time.Hour
)

const user = sessions.Key[string]("user")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Remember me</title>
{{if .User}}<h1>Hello, {{.User}}</h1>
<p>Without use you are signed out in {{.Remaining}}, and on {{.Deadline.Format "2 Jan 15:04"}} in any case.</p>
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required>
<label><input name="remember" type="checkbox"> Remember me</label><button>Log in</button></form>{{end}}
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
		middleware.WithLifetime(lifetime),
		middleware.WithRolling(idle),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /login", mw.HandlerFunc(login))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	name, err := user.GetOr(s, "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, struct {
		User      string
		Remaining time.Duration
		Deadline  time.Time
	}{name, s.Remaining().Round(time.Second), s.Metadata().Deadline})
}

func login(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	// A real login checks a password here. The new ID comes first: with it the
	// session has the middleware's times again.
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := remember(s, r.FormValue("remember") != ""); err != nil {
		return err
	}
	if err := user.Set(s, r.FormValue("user")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// remember says both, so that nothing is left of what an earlier login said.
func remember(s *sessions.Session, yes bool) error {
	if err := s.SetPersistent(yes); err != nil || yes {
		return err
	}
	return s.Limit(shortLifetime, shortIdle)
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
