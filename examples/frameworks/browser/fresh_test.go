package browser

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// A browser tells a page that somebody opens from what a script asks for, and what is a
// path of this site and what another's name.
func TestRequireFresh(t *testing.T) {
	b, v := tab{t, chromium(t)}, newWorld(t)
	mw := inMemory(t, middleware.WithProofPage("/confirm"))
	guarded := mw.RequireFresh(time.Hour, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<!doctype html><p>Guarded ", r.Method, " ", strings.ReplaceAll(r.RequestURI, "/", " "))
	}))
	confirm := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<!doctype html><p>Confirm <form method="post"><button>Yes</button></form>`)
			return nil
		}
		if err := errors.Join(s.Regenerate(), s.SetAuthenticated(time.Now())); err != nil {
			return err
		}
		http.Redirect(w, r, middleware.WayBack(s, "/fallback"), http.StatusSeeOther)
		return nil
	})
	logout := mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		s.Destroy()
		_, err := fmt.Fprint(w, "<!doctype html><p>Bye")
		return err
	})
	v.hosts["app.example"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // no mux: it would clean the paths
		switch r.URL.Path {
		case "/confirm":
			confirm.ServeHTTP(w, r)
		case "/logout":
			logout.ServeHTTP(w, r)
		default:
			guarded.ServeHTTP(w, r)
		}
	})
	page := func(path string) { t.Helper(); require.Contains(t, b.visit(v.url("app.example", path)), "Confirm") }
	fetches := func(want string) {
		t.Helper()
		require.Equal(t, want, b.script(`fetch("/data", {method: "POST"}).then(r => fetch("/data").then(g => r.status + " " + g.status + " " + g.redirected))`))
	}

	page("/a/b?c=d") // a stranger, who has no session yet
	fetches("403 403 false")
	require.Equal(t, "Guarded GET a b?c=d", b.submit("button"))
	require.Equal(t, v.url("app.example", "/a/b?c=d"), b.script(`location.href`))
	fetches("200 200 false")

	for path, back := range map[string]string{
		"//other.example/x":                "/fallback",
		"/%5Cother.example/x":              "/%5Cother.example/x",
		"/.%09/%09/other.example":          "/.%09/%09/other.example",
		"/a?next=https://other.example/&x": "/a?next=https://other.example/&x",
	} {
		require.Contains(t, b.visit(v.url("app.example", "/logout")), "Bye")
		page(path)
		require.Contains(t, b.submit("button"), "Guarded GET")
		require.Equal(t, v.url("app.example", back), b.script(`location.href`), path)
	}
}
