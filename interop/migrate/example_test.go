package migrate_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// The former sessions were a table of the application's own.
func Example() {
	type session struct {
		user  string
		began time.Time
	}
	table := map[string]session{"7f3a": {"ada", time.Now().Add(-time.Hour)}}

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithLifetime(12*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	const user = sessions.Key[string]("user")
	moving, err := migrate.New(mw, migrate.Source[session]{
		Cookie: &http.Cookie{Name: "sid", Path: "/", Secure: true, HttpOnly: true},
		Read: func(_ context.Context, value string) (session, error) {
			old, ok := table[value]
			if !ok {
				return old, migrate.ErrNone
			}
			return old, nil
		},
		Adopt: func(_ context.Context, s *sessions.Session, old session) error {
			if err := s.BeganAt(old.began); err != nil {
				return err
			}
			return user.Set(s, old.user)
		},
		Retire: func(_ context.Context, value string) error {
			time.AfterFunc(migrate.Grace, func() { /* … delete it from the table … */ })
			return nil
		},
		Until: time.Now().Add(12 * time.Hour), // when the last old session is over
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := moving.Handler(mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		name, err := user.Get(s)
		fmt.Printf("%s, for %v more\n", name, s.Remaining().Round(time.Minute))
		return err
	}))

	r := httptest.NewRequest("GET", "https://example.com/", nil)
	r.AddCookie(&http.Cookie{Name: "sid", Value: "7f3a"})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		fmt.Println(c.Name, "deleted:", c.MaxAge < 0)
	}
	// Output:
	// ada, for 11h0m0s more
	// __Host-Http-session deleted: false
	// sid deleted: true
}
