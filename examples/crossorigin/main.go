// Crossorigin puts net/http's CrossOriginProtection beside the sessions:
//
//	go run ./examples/crossorigin
//
// The session's cookie says who the user is, not which page sent the request.
// SameSite=Lax keeps the cookie out of other sites' POST requests, but not out
// of those from a sibling subdomain, which is the same site. The protection
// refuses both, by the Sec-Fetch-Site and Origin headers that a page can't set.
package main

import (
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const address = sessions.Key[string]("address")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Account</title>
<p>Post goes to: {{.}}</p>
<form method="post" action="/address"><input name="address" required><button>Change</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/", port)
	log.Printf("and try: curl -i -H 'Sec-Fetch-Site: cross-site' -d address=elsewhere http://localhost:%s/address", port)
	log.Fatal(http.Serve(listener, handler))
}

func newHandler(store stores.Store) (http.Handler, error) {
	mw, err := middleware.New(store,
		middleware.WithLifetime(time.Hour),
		middleware.WithAutoload(),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /address", mw.HandlerFunc(change))

	protection := http.NewCrossOriginProtection()
	// A partner whose pages may post here. Say who: there is no wildcard.
	if err := protection.AddTrustedOrigin("https://partner.example"); err != nil {
		return nil, err
	}
	// Outside the sessions: what is refused asks no store, extends no idle
	// timeout and gets no cookie. GET and HEAD pass, so they must change
	// nothing that matters.
	return protection.Handler(mux), nil
}

func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	to, err := address.GetOr(s, "nowhere yet")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, to)
}

func change(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	to := r.FormValue("address")
	if to == "" {
		http.Error(w, "the address is missing", http.StatusBadRequest)
		return nil
	}
	if err := address.Set(s, to); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
