package gorilla_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/gorilla"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// The application had a CookieStore, and goes on keeping sessions in the cookie.
func Example() {
	const user = sessions.Key[string]("user")
	oldKey := []byte("the key that NewCookieStore had")

	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // yours, from the environment
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc))
	if err != nil {
		log.Fatal(err)
	}
	theSwitch := time.Now()
	old, err := gorilla.Cookie("session-name", [][]byte{oldKey}, gorilla.WithNotAfter(theSwitch))
	if err != nil {
		log.Fatal(err)
	}
	moving, err := migrate.New(mw, migrate.Source[gorilla.Session]{
		// With the attributes of the store's Options: these are gorilla's defaults.
		Cookie: &http.Cookie{Name: "session-name", Path: "/", Secure: true, SameSite: http.SameSiteNoneMode},
		Read:   old.Read,
		Until:  theSwitch.Add(30 * 24 * time.Hour),
		Adopt: func(_ context.Context, s *sessions.Session, old gorilla.Session) error {
			name, ok := old.Values["user"].(string)
			if !ok {
				return migrate.ErrNone
			}
			if err := s.BeganAt(old.SignedAt); err != nil {
				return err
			}
			return user.Set(s, name)
		},
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
	cookie, err := securecookie.New(oldKey, nil).Encode("session-name", map[any]any{"user": "ada"})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	r.AddCookie(&http.Cookie{Name: "session-name", Value: cookie})
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: ada
}
