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
		middleware.WithAutoload(),               // every path
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /logout", logout)
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

func home(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	var data struct {
		Visits  int
		User    string
		Notices []string
	}
	if data.Visits, err = visits.Update(s, func(n int) int { return n + 1 }); err != nil {
		fail(w, err)
		return
	}
	if data.User, err = user.GetOr(s, ""); err != nil {
		fail(w, err)
		return
	}
	if data.Notices, err = notice.Pop(s); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, data)
}

func login(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	// A real login checks a password here. Then the session gets a new ID, so
	// that whoever knew the old one is not logged in too.
	if err := s.Regenerate(); err != nil {
		fail(w, err)
		return
	}
	name := r.FormValue("user")
	if err := user.Set(s, name); err != nil {
		fail(w, err)
		return
	}
	if err := notice.Add(s, "Welcome, "+name+"."); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
