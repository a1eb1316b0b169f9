//go:build unix

package integration_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
)

// A handler is tested with a session in it whatever the store is.
func TestSessionstestOnServers(t *testing.T) {
	const n, name = sessions.Key[int]("n"), sessions.Key[string]("name")
	for _, b := range append(outside, struct {
		name string
		make func(testing.TB) backend
	}{"hybrid", hybrid}) {
		for _, cache := range caches {
			if b.name == "hybrid" && cache.fresh > 0 {
				continue // it has the records in the cookie already
			}
			t.Run(fmt.Sprint(b.name, "/", cache.name), func(t *testing.T) {
				back := b.make(t)
				opts := []middleware.Option{middleware.WithEncryptor(ring(t)), middleware.WithSignedIDs(encrypt.GenerateKey())}
				if cache.fresh > 0 {
					opts = append(opts, middleware.WithCookieCache(cache.fresh))
				}
				mw, err := middleware.New(back.store, opts...)
				require.NoError(t, err)
				login := mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
					if err := s.Regenerate(); err != nil {
						return err
					}
					if err := name.Set(s, "ada"); err != nil {
						return err
					}
					_, err := n.Update(s, func(n int) int { return n + 1 })
					return err
				})
				r := sessionstest.Request(t, mw, httptest.NewRequest("POST", "https://example.com/", nil), sessionstest.Set(n, 41))
				w := httptest.NewRecorder()
				login.ServeHTTP(w, r)
				require.Equal(t, http.StatusOK, w.Code)
				s := sessionstest.Session(t, mw, r, w.Result())
				got, err := n.Get(s)
				require.NoError(t, err)
				require.Equal(t, 42, got)
				require.Equal(t, []string{"n", "name"}, s.Names())
				if b.name != "hybrid" && cache.fresh == 0 { // there the old cookie is good for as long
					require.True(t, sessionstest.Session(t, mw, r, nil).IsNew(), "the old ID is dead")
				}
			})
		}
	}
}
