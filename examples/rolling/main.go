// Rolling ends sessions that are not used: after 30 minutes without a request,
// and after 8 hours in any case:
//
//	go run ./examples/rolling
//
// Use extends the session at most once a minute, so that a busy page does not
// write to the store with every request.
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

const (
	idle  = 30 * time.Minute // without use
	limit = 8 * time.Hour    // in any case: a stolen cookie can't be kept alive for ever
	touch = time.Minute      // use extends the session at most this often
)

const name = sessions.Key[string]("name")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Rolling</title>
{{if .Name}}<h1>Hello, {{.Name}}</h1>
<p>Without use this session ends in {{.Remaining}}, and at {{.Deadline.Format "15:04:05"}} in any case.</p>
{{else}}<form method="post" action="/start"><input name="name" placeholder="name" required><button>Start</button></form>
{{end}}<p><a href="/">Reload</a> or <a href="/about">a page without the session</a></p>
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
	log.Fatal(http.Serve(listener, handler))
}

func newHandler(store stores.Store) (http.Handler, error) {
	mw, err := middleware.New(store,
		middleware.WithRolling(idle),
		middleware.WithLifetime(limit),
		middleware.WithTouchInterval(touch),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.HandleFunc("GET /about", about)
	mux.Handle("POST /start", mw.HandlerFunc(start))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// home is use of the session, although it changes nothing.
func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	who, err := name.GetOr(s, "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, struct {
		Name      string
		Remaining time.Duration // as it was when the request came
		Deadline  time.Time
	}{who, s.Remaining().Round(time.Second), s.Metadata().Deadline})
}

// about does not load the session, so a page that polls it keeps nobody signed
// in.
func about(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte("<!doctype html><title>About</title><p>No session is used here.</p>\n"))
}

func start(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := name.Set(s, r.FormValue("name")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
