// Package scs is the list of devices with alexedwards/scs.
package scs

import (
	"cmp"
	"context"
	"crypto/rand"
	"html/template"
	"log"
	"net/http"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"
)

const most = 3

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Devices</title>
<p>User: {{.User}}</p>{{range .List}}<p>Device: {{.Handle}} {{.Label}}{{if eq .Handle $.Own}} (this one){{end}}</p>{{end}}`))

type device struct {
	Handle, Label string
	Since         int64
}

type view struct {
	User, Own string
	List      []device
}

type site struct{ sessions *scs.SessionManager }

// New returns the program.
func New() http.Handler {
	s := &site{scs.New()}
	s.sessions.Lifetime = 12 * time.Hour
	s.sessions.Cookie.Secure = true
	s.sessions.Cookie.Persist = false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /end", s.end)
	mux.HandleFunc("POST /end-others", s.endOthers)
	mux.HandleFunc("POST /logout", s.logout)
	return http.NewCrossOriginProtection().Handler(s.sessions.LoadAndSave(mux))
}

// devices looks through all sessions for the user's, the latest first.
func (s *site) devices(ctx context.Context, user string) ([]device, error) {
	var list []device
	err := s.sessions.Iterate(ctx, func(ctx context.Context) error {
		if s.sessions.GetString(ctx, "user") == user {
			list = append(list, device{s.sessions.GetString(ctx, "handle"), s.sessions.GetString(ctx, "label"), s.sessions.GetInt64(ctx, "since")})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b device) int { return cmp.Compare(b.Since, a.Since) })
	return list, err
}

// revoke ends the user's sessions of which end says so.
func (s *site) revoke(ctx context.Context, user string, end func(handle string) bool) error {
	return s.sessions.Iterate(ctx, func(ctx context.Context) error {
		if user == "" || s.sessions.GetString(ctx, "user") != user || !end(s.sessions.GetString(ctx, "handle")) {
			return nil
		}
		return s.sessions.Destroy(ctx)
	})
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	v := view{User: s.sessions.GetString(r.Context(), "user"), Own: s.sessions.GetString(r.Context(), "handle")}
	if v.User == "" {
		v.User = "nobody"
	} else {
		var err error
		if v.List, err = s.devices(r.Context(), v.User); err != nil {
			fail(w, err)
			return
		}
	}
	if err := page.Execute(w, v); err != nil {
		log.Print(err)
	}
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		fail(w, err)
		return
	}
	user := r.FormValue("user")
	list, err := s.devices(r.Context(), user)
	if err != nil {
		fail(w, err)
		return
	}
	if len(list) >= most {
		old := list[most-1:]
		err := s.revoke(r.Context(), user, func(handle string) bool {
			return slices.ContainsFunc(old, func(d device) bool { return d.Handle == handle })
		})
		if err != nil {
			fail(w, err)
			return
		}
	}
	s.sessions.Put(r.Context(), "user", user)
	s.sessions.Put(r.Context(), "handle", rand.Text())
	s.sessions.Put(r.Context(), "label", r.UserAgent())
	s.sessions.Put(r.Context(), "since", time.Now().UnixNano())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) end(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, func(handle string) bool { return handle == r.FormValue("handle") })
}

func (s *site) endOthers(w http.ResponseWriter, r *http.Request) {
	own := s.sessions.GetString(r.Context(), "handle")
	s.answer(w, r, func(handle string) bool { return handle != own })
}

func (s *site) answer(w http.ResponseWriter, r *http.Request, end func(handle string) bool) {
	if err := s.revoke(r.Context(), s.sessions.GetString(r.Context(), "user"), end); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
