package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/interop/scs"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/redisstore"
)

const (
	user   = sessions.Key[string]("user")
	visits = sessions.Key[int]("visits")
)

// after is the application with Bulla. What is there for the move alone is adopt and the
// Source; both go, and moving.Handler becomes mw.Handler, some time after until.
func after(client, old redis.UniversalClient, key encrypt.Key, until time.Time) (http.Handler, error) {
	mw, err := newMiddleware(client, key)
	if err != nil {
		return nil, err
	}
	reader, err := scs.Redis(old)
	if err != nil {
		return nil, err
	}
	moving, err := migrate.New(mw, migrate.Source[scs.Session]{
		// As scs set it.
		Cookie: &http.Cookie{Name: "session", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode},
		Read:   reader.Read,
		Adopt:  adopt,
		Retire: reader.Retire,
		Until:  until,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /login", mw.HandlerFunc(login))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	return moving.Handler(mux), nil
}

func newMiddleware(client redis.UniversalClient, key encrypt.Key) (*middleware.Middleware, error) {
	store, err := redisstore.New(client)
	if err != nil {
		return nil, err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	return middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(scsLifetime),
		middleware.WithPersistentCookie(), // as scs's is
	)
}

// adopt says what of a session of scs's goes on.
func adopt(_ context.Context, s *sessions.Session, old scs.Session) error {
	name, ok := old.Values["user"].(string)
	if !ok {
		return migrate.ErrNone // a visitor; nothing is lost
	}
	n, _ := old.Values["visits"].(int)
	return errors.Join(
		s.BeganAt(old.Deadline.Add(-scsLifetime)), // it ends when it would have ended
		user.Set(s, name),
		visits.Set(s, n),
	)
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	name, err := user.GetOr(s, "")
	if err != nil {
		return err
	}
	n := 0
	if name != "" {
		if n, err = visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			return err
		}
	}
	page(w, name, n)
	return nil
}

func login(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := user.Set(s, r.FormValue("user")); err != nil {
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
