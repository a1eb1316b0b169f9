// Everywhere keeps sessions in cookies, on no server, and ends them everywhere all the
// same: what has ended stands in a list, which each process reads once a second. A page
// that stays open says so, too.
//
//	go run ./examples/everywhere
//
// With BULLA_KEY set, and a list in Redis, start it twice, and log out at one of the two:
//
//	export BULLA_KEY=$(go run ./cmd/bulla keygen)
//	go run ./examples/everywhere -redis localhost:6379 -addr localhost:8080
//	go run ./examples/everywhere -redis localhost:6379 -addr localhost:8081
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// every is how long an end may take to reach the other processes.
const every = time.Second

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Everywhere</title>
{{if .}}<h1>{{.}}</h1><p id="end"></p>
<form method="post" action="/logout"><button>Log out</button></form>
<form method="post" action="/others"><button>Log out everywhere else</button></form>
<form method="post" action="/all"><button>Log out everywhere</button></form>
<script>
const events = new EventSource("/events")
events.addEventListener("end", e => { events.close(); document.getElementById("end").textContent = e.data })
</script>
{{else}}<form method="post" action="/login"><input name="user" placeholder="name" required><button>Log in</button></form>{{end}}
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	server := flag.String("redis", "", "address of the Redis with the list; none: in memory, for one process")
	flag.Parse()

	key := encrypt.GenerateKey()
	if text := os.Getenv("BULLA_KEY"); text != "" {
		var err error
		if key, err = encrypt.ParseKey(text); err != nil {
			log.Fatal(err)
		}
	}
	list, err := newList(*server)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(context.Background(), list, key)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("open http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.NewCrossOriginProtection().Handler(handler)))
}

func newList(addr string) (stores.RevocationList, error) {
	if addr == "" {
		return memstore.NewRevocations()
	}
	return redisstore.NewRevocations(redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true}))
}

// newHandler returns the site. The list is read until ctx ends.
func newHandler(ctx context.Context, list stores.RevocationList, key encrypt.Key) (http.Handler, error) {
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithOwners(key),
		middleware.WithRevocation(ctx, list, every),
		middleware.WithWatchInterval(every),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request, *sessions.Session) error) {
		mux.Handle(pattern, mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			if err := f(r, s); err != nil {
				return err
			}
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return nil
		}))
	}
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		return page.Execute(w, s.Owner())
	}))
	mux.Handle("GET /events", mw.HandlerFunc(events))
	handle("POST /login", func(r *http.Request, s *sessions.Session) error {
		return s.SetOwner(r.Context(), r.FormValue("user")) // after the password was checked
	})
	handle("POST /logout", func(_ *http.Request, s *sessions.Session) error {
		s.Destroy()
		return nil
	})
	handle("POST /others", func(r *http.Request, s *sessions.Session) error {
		_, err := mw.Manager().RevokeOthers(r.Context(), s)
		return err
	})
	handle("POST /all", func(r *http.Request, s *sessions.Session) error {
		_, err := mw.Manager().RevokeAll(r.Context(), s.Owner())
		return err
	})
	return mux, nil
}

// events is a stream that says when its session has ended, wherever that was.
func events(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if s.Owner() == "" {
		http.Error(w, "nobody is logged in", http.StatusUnauthorized)
		return nil
	}
	ctx, err := sessions.Watch(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if err := http.NewResponseController(w).Flush(); err != nil {
		return nil // the client is gone
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), sessions.ErrEnded) {
		fmt.Fprint(w, "event: end\ndata: You were logged out.\n\n")
	}
	return nil
}
