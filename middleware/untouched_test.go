package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
)

// Who does not touch the session pays three allocations: what the request has of
// us, its context, and the request with that context.
func TestUntouchedAllocates(t *testing.T) {
	page := []byte("page")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	for name, opts := range map[string][]middleware.Option{
		"plain":      nil,
		"signed IDs": {middleware.WithSignedIDs(encrypt.GenerateKey())},
		"autoload":   {middleware.WithAutoload("/app/")}, // not this path
	} {
		for _, s := range setups(t) {
			mw := s.new(t, opts...)
			cookie := visited(t, mw.Handler(count))
			for _, sent := range []string{"", cookie} {
				req := httptest.NewRequest("GET", "/page", nil)
				if sent != "" {
					req.Header.Set("Cookie", cookieName+"="+sent)
				}
				w := discard{make(http.Header)}
				base := testing.AllocsPerRun(200, func() { h.ServeHTTP(w, req) })
				handler := mw.Handler(h)
				allocs := testing.AllocsPerRun(200, func() { handler.ServeHTTP(w, req) })
				limit := 3.0
				if name == "autoload" && sent != "" {
					limit += 3 // of the http.ServeMux that looks for a match
				}
				t.Logf("%s, %s, cookie %v: %v", name, s.name, sent != "", allocs-base)
				require.LessOrEqual(t, allocs-base, limit)
				require.Empty(t, w.header)
			}
		}
	}
}

// And no store call, whatever the cookie is.
func TestUntouchedAsksNobody(t *testing.T) {
	mem := memory(t)
	store := &flaky{Store: mem.store}
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithAutoload("/app/"), middleware.WithRolling(time.Hour), middleware.WithPersistentCookie(), middleware.WithTouchInterval(0))
	cookie := visited(t, mem.new(t).Handler(count))
	for _, sent := range []string{"", cookie, "garbage", unknown()} {
		a := ask(mw.Handler(http.NotFoundHandler()), "/page", sent)
		require.Zero(t, store.calls())
		require.Empty(t, a.ours())
		require.Empty(t, a.Header["Vary"])
	}
}
