// Package gorilla is the list of devices with gorilla/sessions, which knows of no other
// session than the request's own: who is signed in where is the program's to keep.
package gorilla

import (
	"crypto/rand"
	"html/template"
	"log"
	"net/http"
	"slices"
	"sync"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

const most = 3

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Devices</title>
<p>User: {{.User}}</p>{{range .List}}<p>Device: {{.Handle}} {{.Label}}{{if eq .Handle $.Own}} (this one){{end}}</p>{{end}}`))

type device struct{ Handle, Label string }

type view struct {
	User, Own string
	List      []device
}

type site struct {
	store *sessions.CookieStore

	mu      sync.Mutex
	devices map[string][]device // by user, the latest first
}

// New returns the program.
func New() http.Handler {
	s := &site{
		store:   sessions.NewCookieStore(securecookie.GenerateRandomKey(64), securecookie.GenerateRandomKey(32)),
		devices: map[string][]device{},
	}
	s.store.MaxAge(12 * 60 * 60)
	s.store.Options.Secure = true
	s.store.Options.HttpOnly = true
	s.store.Options.SameSite = http.SameSiteLaxMode
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /end", s.end)
	mux.HandleFunc("POST /end-others", s.endOthers)
	mux.HandleFunc("POST /logout", s.logout)
	return http.NewCrossOriginProtection().Handler(mux)
}

// who returns the user and the device, if it is still signed in.
func (s *site) who(r *http.Request) (user, own string, list []device) {
	session, _ := s.store.Get(r, "session") // a cookie that does not open is a new session
	user, _ = session.Values["user"].(string)
	own, _ = session.Values["handle"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	list = s.devices[user]
	if !slices.ContainsFunc(list, func(d device) bool { return d.Handle == own }) {
		return "", "", nil
	}
	return user, own, slices.Clone(list)
}

// revoke ends the user's sessions of which end says so.
func (s *site) revoke(user string, end func(device) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices[user] = slices.DeleteFunc(s.devices[user], end); len(s.devices[user]) == 0 {
		delete(s.devices, user)
	}
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	user, own, list := s.who(r)
	if user == "" {
		user = "nobody"
	}
	if err := page.Execute(w, view{user, own, list}); err != nil {
		log.Print(err)
	}
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	session, _ := s.store.Get(r, "session")
	user, handle := r.FormValue("user"), rand.Text()
	if old, own, _ := s.who(r); old != "" {
		s.revoke(old, func(d device) bool { return d.Handle == own })
	}
	session.Values["user"], session.Values["handle"] = user, handle
	if err := session.Save(r, w); err != nil {
		fail(w, err)
		return
	}
	s.mu.Lock()
	list := append([]device{{handle, r.UserAgent()}}, s.devices[user]...)
	s.devices[user] = list[:min(most, len(list))]
	s.mu.Unlock()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) end(w http.ResponseWriter, r *http.Request) {
	user, _, _ := s.who(r)
	s.revoke(user, func(d device) bool { return d.Handle == r.FormValue("handle") })
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) endOthers(w http.ResponseWriter, r *http.Request) {
	user, own, _ := s.who(r)
	s.revoke(user, func(d device) bool { return d.Handle != own })
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	user, own, _ := s.who(r)
	s.revoke(user, func(d device) bool { return d.Handle == own })
	session, _ := s.store.Get(r, "session")
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
