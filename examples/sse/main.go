// Sse streams server-sent events to users with a session:
//
//	go run ./examples/sse
//
// The cookie goes out with the headers, so a new session must be committed
// before the stream's first byte. Later changes reach the store, since the
// record is on the server and the cookie stays the same.
package main

import (
	"errors"
	"flag"
	"fmt"
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
	open = sessions.Key[int]("open") // streams that the user has open now
	seen = sessions.Key[int]("seen") // events that the user was sent, over all streams
)

const maxOpen = 2 // streams of one user at a time

const page = `<!doctype html><title>Events</title>
<h1>Event <span id="n">0</span></h1><p>Reload: the session knows where you were.</p>
<form method="post" action="/logout"><button>Log out</button></form>
<script>
const events = new EventSource("/events")
events.onmessage = e => document.getElementById("n").textContent = e.data
events.addEventListener("logout", () => events.close())
</script>
`

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store, time.Second)
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

func newHandler(store stores.Store, interval time.Duration) (http.Handler, error) {
	mw, err := middleware.New(store, middleware.WithLifetime(24*time.Hour))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	})
	mux.Handle("GET /events", events(interval))
	mux.HandleFunc("GET /state", state)
	mux.HandleFunc("POST /logout", logout)
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

func events(interval time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		s, err := sessions.Load(ctx)
		if err != nil {
			fail(w, err)
			return
		}
		if err := addOpen(s, +1); err != nil {
			fail(w, err)
			return
		}
		// Stored now, not at the first byte: what Update says is provisional,
		// and two streams that begin together would both find room. After the
		// commit the count holds what the others have stored too.
		if err := sessions.Commit(ctx); err != nil {
			fail(w, err)
			return
		}
		// The cookie can't change any more, but a record on the server can.
		// What is still uncommitted is written when the handler returns,
		// though the client may be gone by then.
		defer addOpen(s, -1)
		n, err := open.Get(s)
		if err != nil {
			fail(w, err)
			return
		}
		if n > maxOpen {
			http.Error(w, "too many streams; close a tab", http.StatusTooManyRequests)
			return
		}

		w.Header().Set("Content-Type", "text/event-stream")
		stream := http.NewResponseController(w)
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		for {
			n, err := seen.Update(s, func(n int) int { return n + 1 })
			if err != nil {
				log.Print(err)
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", n)
			if err := stream.Flush(); err != nil {
				return
			}
			// Without this the events would be counted at the stream's end.
			// It is also how a stream learns of a logout.
			if err := sessions.Commit(ctx); errors.Is(err, sessions.ErrEnded) {
				fmt.Fprint(w, "event: logout\ndata: \n\n")
				return
			} else if err != nil {
				log.Print(err)
				return
			}
			select {
			case <-ctx.Done(): // the client is gone
				return
			case <-ticks.C:
			}
		}
	}
}

func addOpen(s *sessions.Session, d int) error {
	_, err := open.Update(s, func(n int) int { return n + d })
	return err
}

// state shows what the session holds, for other requests than the stream.
func state(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	streams, err := open.GetOr(s, 0)
	if err != nil {
		fail(w, err)
		return
	}
	n, err := seen.GetOr(s, 0)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintf(w, "%d open, %d seen\n", streams, n)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	s.Destroy()
	http.Redirect(w, r, "/state", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
