package gorillastore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	gorilla "github.com/gorilla/sessions"

	"github.com/bulla-go/bulla/interop/gorillastore"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A handler that was written for gorilla/sessions stays as it is; only its store is
// another one.
func Example() {
	var store gorilla.Store = gorillastore.Store{} // was sessions.NewCookieStore(key)

	visit := func(w http.ResponseWriter, r *http.Request) {
		s, err := store.Get(r, "visits")
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		n, _ := s.Values["n"].(int)
		s.Values["n"] = n + 1
		if err := s.Save(r, w); err != nil {
			http.Error(w, "something went wrong", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "Visit %d", n+1)
	}

	memory, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	mw, err := middleware.New(memory)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := mw.Handler(http.HandlerFunc(visit))
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Body)
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
	}
	// Output:
	// Visit 1
	// Visit 2
}
