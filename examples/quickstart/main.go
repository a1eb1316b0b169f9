// Quickstart is a visit counter with a login, in an encrypted cookie:
//
//	go run ./examples/quickstart
//
// It needs no set-up. Set BULLA_KEY (openssl rand -base64 32) to keep sessions
// over a restart.
package main

import (
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const (
	visits = sessions.Key[int]("visits")
	user   = sessions.Key[string]("user")
	notice = sessions.Flash[string]("notice")
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Bulla</title>
<h1>Visit {{.Visits}}</h1>
{{range .Notices}}<p><em>{{.}}</em></p>{{end}}
{{if .User}}<p>Signed in as {{.User}}.</p><form method="post" action="/logout"><button>Log out</button></form>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required><button>Log in</button></form>{{end}}
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	key := encrypt.GenerateKey()
	if text := os.Getenv("BULLA_KEY"); text != "" {
		var err error
		if key, err = encrypt.ParseKey(text); err != nil {
			log.Fatalf("BULLA_KEY: %v", err)
		}
	} else {
		log.Print("BULLA_KEY is not set: using a new key, so sessions end with this process")
	}
	handler, err := newHandler(key)
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

func newHandler(key encrypt.Key) (http.Handler, error) {
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithRolling(14*24*time.Hour), // without a visit
		middleware.WithPersistentCookie(),       // also when the browser is closed
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

// A function that returns an error leaves the session as it was, and the middleware
// answers.
func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	var data struct {
		Visits  int
		User    string
		Notices []string
	}
	var err error
	if data.Visits, err = visits.Update(s, func(n int) int { return n + 1 }); err != nil {
		return err
	}
	if data.User, err = user.GetOr(s, ""); err != nil {
		return err
	}
	if data.Notices, err = notice.Pop(s); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, data)
}

func login(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	// A real login checks a password here. Then the session gets a new ID, so
	// that whoever knew the old one is not logged in too.
	if err := s.Regenerate(); err != nil {
		return err
	}
	name := r.FormValue("user")
	if err := user.Set(s, name); err != nil {
		return err
	}
	if err := notice.Add(s, "Welcome, "+name+"."); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
