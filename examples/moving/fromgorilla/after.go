package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/gorilla"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const (
	user = sessions.Key[string]("user")
	cart = sessions.Key[[]item]("cart")
)

// after is the application with Bulla, which keeps sessions in the cookie, too, but
// encrypted. theSwitch is when the former program stopped. What is there for the move
// alone is adopt and the Source.
func after(oldKey []byte, key encrypt.Key, theSwitch time.Time) (http.Handler, error) {
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(30*24*time.Hour), // as gorilla's
		middleware.WithPersistentCookie(),
	)
	if err != nil {
		return nil, err
	}
	// The former program has signed nothing after the switch.
	reader, err := gorilla.Cookie(sessionName, [][]byte{oldKey}, gorilla.WithNotAfter(theSwitch))
	if err != nil {
		return nil, err
	}
	moving, err := migrate.New(mw, migrate.Source[gorilla.Session]{
		// As gorilla set it: SameSite=None is its default.
		Cookie: &http.Cookie{Name: sessionName, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode},
		Read:   reader.Read,
		Adopt:  adopt,
		// Nothing can be retired: the session is in the cookie, and whoever kept a copy
		// can bring it again. So the time is short: who does not come in a week logs in.
		Until: theSwitch.Add(7 * 24 * time.Hour),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /login", mw.HandlerFunc(login))
	mux.Handle("POST /buy", mw.HandlerFunc(buy))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	return moving.Handler(mux), nil
}

// adopt says what of a session of gorilla's goes on.
func adopt(_ context.Context, s *sessions.Session, old gorilla.Session) error {
	name, ok := old.Values["user"].(string)
	if !ok {
		return migrate.ErrNone // a visitor; nothing is lost
	}
	items, _ := old.Values["cart"].([]item)
	return errors.Join(
		s.BeganAt(old.SignedAt), // it began no later
		user.Set(s, name),
		cart.Set(s, items),
	)
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	name, err := user.GetOr(s, "")
	if err != nil {
		return err
	}
	items, err := cart.GetOr(s, nil)
	if err != nil {
		return err
	}
	page(w, name, items)
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

func buy(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	_, err := cart.Update(s, func(items []item) []item { return append(items, item{"tea", 1}) })
	if err != nil {
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
