package authx_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/bulla-go/bulla/interop/authx"
	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// The application kept its users by the ID that authx-extra had signed.
func Example_migrate() {
	const user = sessions.Key[string]("user")
	const secret = "the secret_key of the Python side"
	users := map[string]string{"132cded6-237b-4ed9-9e3f-721fcb197117": "ada"}

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store)
	if err != nil {
		log.Fatal(err)
	}
	cookie, err := authx.NewCookie(secret)
	if err != nil {
		log.Fatal(err)
	}
	moving, err := migrate.New(mw, migrate.Source[string]{
		Cookie: &http.Cookie{Name: authx.CookieName, Path: "/", HttpOnly: true},
		Until:  time.Now().Add(14 * 24 * time.Hour),
		Read: func(_ context.Context, value string) (string, error) {
			id, _, err := cookie.SessionID(value, 14*24*time.Hour)
			if errors.Is(err, authx.ErrCookie) || err == nil && users[id] == "" {
				return "", migrate.ErrNone
			}
			return users[id], err
		},
		Adopt: func(_ context.Context, s *sessions.Session, name string) error { return user.Set(s, name) },
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := moving.Handler(mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		name, err := user.GetOr(s, "nobody")
		fmt.Println(name)
		return err
	}))

	// What a browser still has.
	signed, err := itsdangerous.NewURLSafeTimedSerializer(secret)
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	r.AddCookie(&http.Cookie{Name: "sid", Value: signed.Sign([]byte(`{"sid":"132cded6-237b-4ed9-9e3f-721fcb197117"}`))})
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: ada
}
