package starsessions_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/starsessions"
	"github.com/bulla-go/bulla/sessions"
)

// SessionMiddleware(store=CookieStore(secret_key="…"), lifetime=14 * 24 * 3600, rolling=True)
func ExampleCookie() {
	store, err := starsessions.Cookie("the secret_key of the Python side")
	if err != nil {
		panic(err)
	}
	mw, err := starsessions.New(store, starsessions.Config{
		Lifetime: 14 * 24 * time.Hour, Rolling: true, Encryptor: starsessions.Unencrypted(),
	})
	if err != nil {
		panic(err)
	}
	const user = sessions.Key[string]("user") // request.session["user"]
	h := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return user.Set(s, "ada")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/login", nil))
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, cookie.MaxAge, cookie.SameSite == http.SameSiteLaxMode)
	// Output: session 1209600 true
}

// SessionMiddleware(store=RedisStore(…), lifetime=3600) with FernetEncryptor(key)
func ExampleRedis() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	store, err := starsessions.Redis(client)
	if err != nil {
		panic(err)
	}
	enc, err := starsessions.Fernet("Eyze1iN7LtkeP3IfyxlxF0SU1kk8nVw0YL4xIB5p_to=") // the key of the Python side
	if err != nil {
		panic(err)
	}
	_, err = starsessions.New(store, starsessions.Config{Lifetime: time.Hour, Encryptor: enc})
	fmt.Println(err)
	// Output: <nil>
}
