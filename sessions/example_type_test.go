package sessions_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// cart has changed its type: users come back with the carts of an earlier release.
const cart = sessions.Key[[]string]("cart")

// loadCart returns an empty cart in place of one that can't be read, and removes that, so
// that no page fails for ever. Without this each page that asks for the cart would answer
// an error, until the session ends.
func loadCart(s *sessions.Session) ([]string, error) {
	items, err := cart.GetOr(s, nil)
	if errors.Is(err, sessions.ErrDecode) {
		return nil, cart.Delete(s) // err names the key and the type, for the log
	}
	return items, err
}

func ExampleKey_Delete() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	mw, err := middleware.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	old := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return sessions.Key[string]("cart").Set(s, "tea,jam")
	})
	page := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		items, err := loadCart(s)
		if err != nil {
			return err
		}
		fmt.Println(items, s.Names())
		return nil
	})

	r := httptest.NewRequest("GET", "https://example.com/", nil)
	w := httptest.NewRecorder()
	old.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	page.ServeHTTP(httptest.NewRecorder(), r)
	page.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// [] []
	// [] []
}
