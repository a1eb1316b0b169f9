package starlette_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/bulla-go/bulla/interop/starlette"
	"github.com/bulla-go/bulla/sessions"
)

func Example() {
	mw, err := starlette.New(starlette.Config{Secrets: []string{"the secret_key of the Python side"}, MaxAge: starlette.DefaultMaxAge})
	if err != nil {
		panic(err)
	}
	const user = sessions.Key[string]("user") // request.session["user"]
	h := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return user.Set(s, "ada")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "https://example.com/login", nil))
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, strings.Split(cookie.Value, ".")[0])
	// Output: session eyJ1c2VyIjogImFkYSJ9
}
