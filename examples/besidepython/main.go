// Besidepython is a site of which one half is in Python and the other in Go, with one
// login for both:
//
//	export SESSION_SECRET=$(openssl rand -base64 32)
//	uvicorn --app-dir examples/besidepython --port 8000 app:app
//	go run ./examples/besidepython -python http://localhost:8000
//
// The Go program stands in front: what it does not serve itself it passes on, so that a
// site can move one path after the other. The Python half is FastAPI with Starlette's
// SessionMiddleware; package interop/starlette reads and writes its cookie. A login there is one here, and so is a logout.
package main

import (
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/bulla-go/bulla/interop/starlette"
	"github.com/bulla-go/bulla/sessions"
)

// What Python has under these names in request.session.
const (
	user   = sessions.Key[string]("user")
	visits = sessions.Key[int]("visits")
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Go</title>
<p>Go: {{if .User}}{{.User}}, {{.Visits}} visits in both halves{{else}}nobody{{end}}</p>
<p><a href="/py/">to Python</a></p>
<form method="post" action="/logout"><button>Log out</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	python := flag.String("python", "http://localhost:8000", "where the Python half listens")
	flag.Parse()

	handler, err := newHandler(os.Getenv("SESSION_SECRET"), *python)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/", port)
	log.Fatal(http.Serve(listener, handler))
}

// newHandler returns the whole site.
func newHandler(secret, python string) (http.Handler, error) {
	target, err := url.Parse(python)
	if err != nil {
		return nil, err
	}
	mw, err := starlette.New(starlette.Config{Secrets: []string{secret}, MaxAge: starlette.DefaultMaxAge})
	if err != nil {
		return nil, err
	}
	// Another site's page can't make a browser log out here, or act in the Python half.
	protection := http.NewCrossOriginProtection()

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /logout", mw.HandlerFunc(logout))
	// What Python serves has no session here: the middleware is not around it, and its
	// Set-Cookie passes.
	mux.Handle("/py/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
	}})
	return protection.Handler(mux), nil
}

func home(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	data := struct {
		User   string
		Visits int
	}{}
	var err error
	if data.User, err = user.GetOr(s, ""); err != nil {
		return err
	}
	if data.User != "" {
		if data.Visits, err = visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			return err
		}
	}
	return page.Execute(w, data)
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
