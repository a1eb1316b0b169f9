// Package bulla is the list of devices with Bulla.
package bulla

import (
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/bulla-go/bulla"
	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Devices</title>
<p>User: {{.User}}</p>{{range .List}}<p>Device: {{.Handle}} {{.Label}}{{if eq .Handle $.Own}} (this one){{end}}</p>{{end}}`))

type view struct {
	User string
	Own  sessions.Handle
	List []sessions.OwnedSession
}

type site struct{ manager *sessions.Manager }

// New returns the program.
func New() http.Handler {
	mw := bulla.Must(middleware.New(bulla.Must(memstore.New()),
		middleware.WithLifetime(12*time.Hour),
		middleware.WithOwners(encrypt.GenerateKey()),
		middleware.WithMaxSessionsPerOwner(3, sessions.EndOldest),
	))
	s := &site{mw.Manager()}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(s.home))
	mux.Handle("POST /login", mw.HandlerFunc(s.login))
	mux.Handle("POST /end", mw.HandlerFunc(s.end))
	mux.Handle("POST /end-others", mw.HandlerFunc(s.endOthers))
	mux.Handle("POST /logout", mw.HandlerFunc(s.logout))
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *site) home(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	user := session.Owner()
	if user == "" {
		return page.Execute(w, view{User: "nobody"})
	}
	list, err := s.manager.Sessions(r.Context(), user)
	if err != nil {
		return err
	}
	return page.Execute(w, view{user, session.Handle(), list})
}

func (s *site) login(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	return back(w, r, session.SetOwner(r.Context(), r.FormValue("user")), session.SetLabel(r.UserAgent()))
}

func (s *site) end(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	return back(w, r, s.manager.Revoke(r.Context(), session.Owner(), sessions.Handle(r.FormValue("handle"))))
}

func (s *site) endOthers(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	_, err := s.manager.RevokeOthers(r.Context(), session)
	return back(w, r, err)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	session.Destroy()
	return back(w, r)
}

func back(w http.ResponseWriter, r *http.Request, errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	return err
}
