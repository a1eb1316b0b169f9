// Devices shows users where they are signed in, and lets them sign out there:
//
//	cd examples/devices && go run .
//
// Sign in from two browsers with one name. Sessions are in a file of SQLite, so they are
// there when the program starts again; -db postgres://... moves them. It is a module of
// its own, since Bulla brings no drivers.
package main

import (
	"context"
	"errors"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// most is how many sessions a user has; one more login ends the oldest.
const most = 3

const notice = sessions.Flash[string]("notice")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Devices</title>
{{range .Notices}}<p><em>{{.}}</em></p>{{end}}
{{if .User}}<h1>{{.User}} is signed in on</h1>
<ul>{{range .Sessions}}<li>{{.Label}}, since {{.LoggedIn.Format "2 Jan 15:04"}}, seen {{.LastSeen.Format "2 Jan 15:04"}}
{{if eq .Handle $.Current}}(this one){{else}}<form method="post" action="/end"><button name="handle" value="{{.Handle}}">Sign out there</button></form>{{end}}</li>
{{end}}</ul>
<form method="post" action="/end-others"><button>Sign out everywhere else</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required><button>Log in</button></form>{{end}}
`))

// site is the program.
type site struct{ manager *sessions.Manager }

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	db := flag.String("db", "devices.db", "a file of SQLite, or postgres://user@host/database")
	keyFile := flag.String("keys", "devices.keys", "file with the keys; made at the first start")
	flag.Parse()

	keys, err := readKeys(*keyFile, 2)
	if err != nil {
		log.Fatal(err)
	}
	_, store, err := openStore(context.Background(), *db)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store, keys[0], keys[1])
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

// newHandler takes the key that seals the sessions, and the one under whose hash the
// list of a user's sessions is filed.
func newHandler(store stores.Store, sealing, owners encrypt.Key) (http.Handler, error) {
	enc, err := encrypt.NewAESGCM(sealing)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithRolling(24*time.Hour), // so that the list knows when each was last seen
		middleware.WithOwners(owners),
		middleware.WithMaxSessionsPerOwner(most, sessions.EndOldest),
	)
	if err != nil {
		return nil, err
	}
	s := &site{mw.Manager()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /end", s.end)
	mux.HandleFunc("POST /end-others", s.endOthers)
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	var data struct {
		User     string
		Current  sessions.Handle
		Sessions []sessions.OwnedSession
		Notices  []string
	}
	if data.User = session.Owner(); data.User != "" {
		data.Current = session.Handle()
		if data.Sessions, err = s.manager.Sessions(r.Context(), data.User); err != nil {
			fail(w, err)
			return
		}
	}
	if data.Notices, err = notice.Pop(session); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, data)
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	name := r.FormValue("user")
	if name == "" {
		http.Error(w, "the name is missing", http.StatusBadRequest)
		return
	}
	// A real login checks a password here. SetOwner gives the session a new
	// ID too.
	if err := session.SetOwner(r.Context(), name); err != nil {
		fail(w, err)
		return
	}
	if err := session.SetLabel(device(r.UserAgent())); err != nil {
		fail(w, err)
		return
	}
	if err := notice.Add(session, "Welcome, "+name+"."); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	session.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// end ends one other session of the user. Its next request is nobody's.
func (s *site) end(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	// The owner is what allows it: a handle of somebody else's session is not
	// found.
	err = s.manager.Revoke(r.Context(), session.Owner(), sessions.Handle(r.FormValue("handle")))
	if errors.Is(err, stores.ErrNotFound) {
		http.Error(w, "no such session", http.StatusNotFound)
		return
	} else if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) endOthers(w http.ResponseWriter, r *http.Request) {
	session, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	_, err = s.manager.RevokeOthers(r.Context(), session)
	if errors.Is(err, stores.ErrNotFound) {
		http.Error(w, "nobody is signed in", http.StatusNotFound)
		return
	} else if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// device names the browser and the system of a User-Agent, for its owner's eyes:
// anybody can send any. The order matters, since most name others beside
// themselves.
func device(userAgent string) string {
	browser := find(userAgent, "Something", [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	})
	system := find(userAgent, "an unknown system", [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "Mac"}, {"Linux", "Linux"},
	})
	return browser + " on " + system
}

// find returns the name of the first mark in the User-Agent.
func find(userAgent, otherwise string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(userAgent, m[0]) {
			return m[1]
		}
	}
	return otherwise
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
