package recipes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// passwords are Accounts; a real program keeps hashes.
type passwords struct {
	mu sync.Mutex
	of map[string]string
}

func (p *passwords) Check(_ context.Context, user, password string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have, ok := p.of[user]
	return ok && have == password, nil
}

func (p *passwords) SetPassword(_ context.Context, user, password string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[user] = password
	return nil
}

func TestPassword(t *testing.T) {
	mw := inMemory(t, middleware.WithOwners(encrypt.GenerateKey()))
	a := &Account{&passwords{of: map[string]string{"ada": "old"}}, mw.Manager()}
	checked, resume := make(chan bool), make(chan bool)
	mux := http.NewServeMux()
	mux.Handle("POST /login", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		ok, err := a.Accounts.Check(r.Context(), "ada", r.FormValue("password"))
		if err == nil && ok {
			err = s.SetOwner(r.Context(), "ada")
		}
		if r.FormValue("slow") != "" {
			checked <- true
			<-resume
		}
		fmt.Fprint(w, ok)
		return err
	}))
	mux.Handle("POST /password", mw.HandlerFunc(a.ChangePassword))
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		_, err := fmt.Fprint(w, "owner: ", s.Owner())
		return err
	}))
	browser := serve(t, mux)
	own, thief, slow, copied := browser(), browser(), browser(), browser()
	for _, c := range []client{own, thief} {
		_, page := c.post("/login", "password", "old")
		require.Equal(t, "true", page)
	}
	u, err := url.Parse(own.url)
	require.NoError(t, err)
	copied.http.Jar.SetCookies(u, own.http.Jar.Cookies(u))
	require.Equal(t, "owner: ada", copied.get("/"), "a thief has the very cookie")

	// One more login with the old password is under way.
	var done sync.WaitGroup
	done.Go(func() { slow.post("/login", "password", "old", "slow", "yes") })
	<-checked

	status, _ := own.post("/password", "old", "wrong", "new", "better")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "owner: ada", thief.get("/"))
	_, page := own.post("/password", "old", "old", "new", "better")
	require.Equal(t, "owner: ada", page)
	require.Equal(t, "owner: ", thief.get("/"))
	require.Equal(t, "owner: ", copied.get("/"))
	resume <- true
	done.Wait()
	require.Equal(t, "owner: ", slow.get("/"), "nor is the login that was under way")
	_, page = thief.post("/login", "password", "old")
	require.Equal(t, "false", page)

	require.NoError(t, a.ResetPassword(t.Context(), "ada", "best"))
	require.Equal(t, "owner: ", own.get("/"))
	_, page = own.post("/login", "password", "best")
	require.Equal(t, "true", page)
	require.Equal(t, "owner: ada", own.get("/"))
}
