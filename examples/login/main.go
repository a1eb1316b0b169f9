// Login is a form login with what belongs to it: a new session ID, a logout, and
// the password once more before a page that needs a fresh proof:
//
//	cd examples/login && go run .
//
// Sign in as alice with "correct horse battery staple". Sessions are in a file of SQLite,
// so they are there when the program starts again; -db postgres://... moves them. It is a
// module of its own, since Bulla brings no drivers.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// fresh is how long a password counts as a fresh proof.
const fresh = 10 * time.Minute

const user = sessions.Key[string]("user")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Login</title>
{{with .Problem}}<p><em>{{.}}</em></p>{{end}}
{{if .Codes}}<h1>Recovery codes of {{.User}}</h1><p>{{.Codes}}</p><a href="/">Back</a>
{{else if .Confirm}}<h1>Is it you, {{.User}}?</h1>
<form method="post" action="/confirm"><input name="password" type="password" required><button>Confirm</button></form>
{{else if .User}}<h1>Hello, {{.User}}</h1><a href="/codes">Recovery codes</a>
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required>
<input name="password" type="password" placeholder="password" required><button>Log in</button></form>{{end}}
`))

type view struct {
	User, Problem, Codes string
	Confirm              bool
}

// account is what a program keeps of a user's password.
type account struct{ salt, hash []byte }

func newAccount(password string) account {
	salt := make([]byte, 16)
	rand.Read(salt)
	return account{salt, hash(password, salt)}
}

// hash is Argon2id with the first parameters that OWASP's password storage cheat
// sheet recommends: 19 MiB, 2 passes, 1 thread.
func hash(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, 2, 19<<10, 1, 32)
}

// site is the program.
type site struct {
	accounts map[string]account
	nobody   account // whom unknown names are checked against
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	db := flag.String("db", "login.db", "a file of SQLite, or postgres://user@host/database")
	keyFile := flag.String("keys", "login.keys", "file with the key; made at the first start")
	flag.Parse()

	keys, err := readKeys(*keyFile, 1)
	if err != nil {
		log.Fatal(err)
	}
	_, store, err := openStore(context.Background(), *db)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store, keys[0], map[string]account{"alice": newAccount("correct horse battery staple")})
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

func newHandler(store stores.Store, sealing encrypt.Key, accounts map[string]account) (http.Handler, error) {
	enc, err := encrypt.NewAESGCM(sealing)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(12*time.Hour), // from the last proof
		middleware.WithRolling(time.Hour),
		middleware.WithProofPage("/confirm"),
		middleware.WithErrorHandler(answer),
	)
	if err != nil {
		return nil, err
	}
	s := &site{accounts, newAccount(rand.Text())}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /login", mw.HandlerFunc(s.login))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	mux.Handle("GET /codes", mw.RequireFresh(fresh, mw.HandlerFunc(codes)))
	mux.Handle("GET /confirm", mw.HandlerFunc(askAgain))
	mux.Handle("POST /confirm", mw.HandlerFunc(s.confirm))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// check takes the same time for a name that nobody has, so that the time does
// not tell who has an account. A real login also limits the attempts, by name and
// by address.
func (s *site) check(name, password string) bool {
	a, known := s.accounts[name]
	if !known {
		a = s.nobody
	}
	return subtle.ConstantTimeCompare(hash(password, a.salt), a.hash) == 1 && known
}

func (s *site) login(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	name := r.FormValue("user")
	if !s.check(name, r.FormValue("password")) {
		return show(w, http.StatusUnauthorized, view{Problem: "The name or the password is wrong."})
	}
	if err := prove(session); err != nil {
		return err
	}
	if err := user.Set(session, name); err != nil {
		return err // and nothing is left of the login, the new ID included
	}
	http.Redirect(w, r, middleware.WayBack(session, "/"), http.StatusSeeOther)
	return nil
}

// prove notes that the user has just proved who they are.
func prove(session *sessions.Session) error {
	// A new ID: whoever knew the old one, or planted it, stays outside.
	if err := session.Regenerate(); err != nil {
		return err
	}
	return session.SetAuthenticated(time.Now())
}

func logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	session.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func home(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
	name, err := user.GetOr(session, "")
	if err != nil {
		return err
	}
	return show(w, http.StatusOK, view{User: name})
}

// codes is the page that needs a fresh proof: a browser that was left open is
// not enough.
func codes(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
	name, err := user.Get(session)
	if err != nil {
		return err
	}
	return show(w, http.StatusOK, view{User: name, Codes: "8215 0394 6617"})
}

func askAgain(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
	name, err := user.Get(session)
	if err != nil {
		return err
	}
	return show(w, http.StatusOK, view{User: name, Confirm: true})
}

func (s *site) confirm(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	name, err := user.Get(session)
	if err != nil {
		return err
	}
	if !s.check(name, r.FormValue("password")) {
		return show(w, http.StatusUnauthorized, view{User: name, Confirm: true, Problem: "The password is wrong."})
	}
	if err := prove(session); err != nil {
		return err
	}
	http.Redirect(w, r, middleware.WayBack(session, "/"), http.StatusSeeOther)
	return nil
}

// answer answers what a handler returned, or who is not signed in.
func answer(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, sessions.ErrNoValue) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}

func show(w http.ResponseWriter, status int, v view) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	return page.Execute(w, v)
}
