// Package bulla is the login with Bulla.
package bulla

import (
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/bulla-go/bulla"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	user   = sessions.Key[string]("user")
	theme  = sessions.Key[string]("theme")
	notice = sessions.Flash[string]("notice")
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Login</title>
{{range .Notices}}<p>Notice: {{.}}</p>{{end}}<p>User: {{.User}}</p><p>Theme: {{.Theme}}</p>`))

type view struct {
	User, Theme string
	Notices     []string
}

// New returns the program.
func New() http.Handler {
	mw := bulla.Must(middleware.New(bulla.Must(memstore.New()), middleware.WithLifetime(12*time.Hour)))
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /login", mw.HandlerFunc(login))
	mux.Handle("POST /settings", mw.HandlerFunc(settings))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	return http.NewCrossOriginProtection().Handler(mux)
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	name, err1 := user.GetOr(s, "nobody")
	look, err2 := theme.GetOr(s, "light")
	notices, err3 := notice.Pop(s)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	return page.Execute(w, view{name, look, notices})
}

func login(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	name := r.FormValue("user")
	return back(w, r, s.Regenerate(), user.Set(s, name), notice.Add(s, "Welcome, "+name+"."))
}

func settings(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	return back(w, r, theme.Set(s, r.FormValue("theme")), notice.Add(s, "Saved."))
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	return back(w, r)
}

// back goes back to the page where all went well. Where it did not, nothing is kept.
func back(w http.ResponseWriter, r *http.Request, errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	return err
}
