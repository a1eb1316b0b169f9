package recipes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
)

func TestJob(t *testing.T) {
	mw := inMemory(t)
	work := make(chan error)
	e := &Exports{mw.Manager(), func(context.Context, string) error { return <-work }}
	mux := http.NewServeMux()
	mux.Handle("POST /login", mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error { return user.Set(s, "ada") }))
	mux.Handle("POST /logout", mw.HandlerFunc(Logout))
	mux.Handle("POST /export", mw.HandlerFunc(e.Begin))
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		list, err := notice.Pop(s)
		fmt.Fprint(w, list)
		return err
	}))
	c := serve(t, mux)()
	c.post("/login")
	for says, err := range map[string]error{"[Your export is ready.]": nil, "[Your export failed.]": errors.New("disk full")} {
		_, page := c.post("/export")
		require.Equal(t, "[]", page)
		work <- err
		require.Eventually(t, func() bool {
			page = c.get("/")
			return page != "[]"
		}, time.Minute, 5*time.Millisecond)
		require.Equal(t, says, page)
	}
	// Signed out meanwhile: nothing comes back.
	u, err := url.Parse(c.url)
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	for _, cookie := range c.http.Jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	id := sessionstest.Session(t, mw, r, nil).ID()
	c.post("/logout")
	go func() { work <- nil }()
	e.run(id, "ada")
	require.Equal(t, "[]", c.get("/"))
}
