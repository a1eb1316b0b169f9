package sessionstest_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

const visitor = sessions.Key[string]("visitor")

// testIdle is func TestIdle in your own test file. In the bubble an hour takes no time.
func testIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memstore.New()
		if err != nil {
			t.Fatal(err)
		}
		mw, err := middleware.New(store, middleware.WithRolling(time.Hour), middleware.WithLifetime(8*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil), sessionstest.Set(visitor, "ada"))

		time.Sleep(59 * time.Minute)
		if s := sessionstest.Session(t, mw, r, nil); s.IsNew() || s.Remaining() != time.Minute {
			t.Errorf("it should have a minute, and has %v", s.Remaining())
		}
		time.Sleep(time.Minute)
		if s := sessionstest.Session(t, mw, r, nil); !s.IsNew() {
			t.Error("it was not used for an hour, and lives")
		}
	})
}

// A session that ends while nobody uses it. To look at it is no use.
func Example_expiry() {
	fmt.Printf("go test runs a %T\n", testIdle)
	// Output: go test runs a func(*testing.T)
}
