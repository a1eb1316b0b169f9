package sessionstest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	user = sessions.Key[string]("user")
	cart = sessions.Key[[]string]("cart")
)

// add is the handler that is tested: it puts what is asked for into a user's cart.
func add(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if name, err := user.GetOr(s, ""); err != nil || name == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return err
	}
	_, err := cart.Update(s, func(list []string) []string { return append(list, r.FormValue("item")) })
	return err
}

// testAdd is func TestAdd in your own test file.
func testAdd(t *testing.T) {
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	mw, err := middleware.New(store) // with the program's own options
	if err != nil {
		t.Fatal(err)
	}
	handler := mw.HandlerFunc(add)
	type change = func(*sessions.Session) error
	for name, tt := range map[string]struct {
		session []change
		status  int
		cart    []string
	}{
		"a stranger": {nil, 401, nil},
		"first":      {[]change{sessionstest.Set(user, "ada")}, 200, []string{"tea"}},
		"second":     {[]change{sessionstest.Set(user, "ada"), sessionstest.Set(cart, []string{"jam"})}, 200, []string{"jam", "tea"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := sessionstest.Request(t, mw, httptest.NewRequest("POST", "https://example.com/cart?item=tea", nil), tt.session...)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			got, err := cart.GetOr(sessionstest.Session(t, mw, r, w.Result()), nil)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.cart) {
				t.Errorf("the cart has %v (%v), want %v", got, err, tt.cart)
			}
		})
	}
}

// A handler and a table of the sessions that it may meet.
func Example_table() {
	fmt.Printf("go test runs a %T\n", testAdd)
	// Output: go test runs a func(*testing.T)
}
