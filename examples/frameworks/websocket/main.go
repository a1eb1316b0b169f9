// Websocket keeps a session over a websocket, with github.com/coder/websocket
// and with github.com/gorilla/websocket:
//
//	go run ./websocket
//
// The answer to the upgrade is the last that can set a cookie, so the session is
// committed before. Each message that changes it is committed by itself: the
// socket may stay open for hours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	sockets  = sessions.Key[int]("sockets")
	messages = sessions.Key[int]("messages")
)

const page = `<!doctype html><title>Chat with yourself</title>
<form id="f"><input id="text" autofocus><button>Send</button></form><pre id="log"></pre>
<form method="post" action="/logout"><button>Log out</button></form>
<script>
const socket = new WebSocket((location.protocol == "https:" ? "wss://" : "ws://") + location.host + "/coder")
socket.onmessage = e => log.textContent += e.data + "\n"
socket.onclose = e => log.textContent += "closed: " + e.reason + "\n"
f.onsubmit = e => { e.preventDefault(); socket.send(text.value); text.value = "" }
</script>
`

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
	log.Printf("open http://%s/", *addr)
	log.Fatal(http.ListenAndServe(*addr, handler))
}

// newHandler needs a store on the server: a record in the cookie could not
// change after the upgrade.
func newHandler(store stores.Store) (http.Handler, error) {
	mw, err := middleware.New(store, middleware.WithLifetime(24*time.Hour))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	})
	mux.HandleFunc("GET /coder", withCoder)
	mux.HandleFunc("GET /gorilla", withGorilla)
	mux.HandleFunc("GET /state", state)
	mux.HandleFunc("POST /logout", logout)
	// An upgrade is a GET, which this lets through; both websocket packages
	// compare the Origin themselves.
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

func withCoder(w http.ResponseWriter, r *http.Request) {
	s, err := begin(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	// Accept sends w's headers with its 101, and so the cookie.
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	ctx := r.Context()
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return
		}
		answer, err := receive(ctx, s, string(text))
		if err != nil {
			conn.Close(websocket.StatusPolicyViolation, reason(err))
			return
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte(answer)); err != nil {
			return
		}
	}
}

var upgrader gorilla.Upgrader // the zero one compares the Origin

func withGorilla(w http.ResponseWriter, r *http.Request) {
	s, err := begin(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	// Upgrade takes the connection and writes its own 101: what is in w's
	// headers goes out only if it is handed on.
	conn, err := upgrader.Upgrade(w, r, http.Header{"Set-Cookie": w.Header()["Set-Cookie"]})
	if err != nil {
		return // it has answered
	}
	defer conn.Close()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		answer, err := receive(r.Context(), s, string(text))
		if err != nil {
			conn.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.ClosePolicyViolation, reason(err)), time.Now().Add(time.Second))
			return
		}
		if err := conn.WriteMessage(gorilla.TextMessage, []byte(answer)); err != nil {
			return
		}
	}
}

// begin stores the session before the upgrade. It must have a value: an empty
// new session is not stored and gets no cookie.
func begin(ctx context.Context) (*sessions.Session, error) {
	s, err := sessions.Load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := sockets.Update(s, func(n int) int { return n + 1 }); err != nil {
		return nil, err
	}
	return s, sessions.Commit(ctx)
}

// receive counts a message and stores the count before it answers.
func receive(ctx context.Context, s *sessions.Session, text string) (string, error) {
	if _, err := messages.Update(s, func(n int) int { return n + 1 }); err != nil {
		return "", err
	}
	if err := sessions.Commit(ctx); err != nil {
		return "", err
	}
	// Read after the commit: the messages of the user's other sockets count
	// too.
	n, err := messages.Get(s)
	return fmt.Sprintf("%d: %s", n, text), err
}

// reason is what a client may know of an error.
func reason(err error) string {
	if errors.Is(err, sessions.ErrEnded) {
		return "logged out" // somewhere else, or the session expired
	}
	log.Print(err)
	return "something went wrong"
}

func state(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	n, err := sockets.GetOr(s, 0)
	if err != nil {
		fail(w, err)
		return
	}
	m, err := messages.GetOr(s, 0)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintf(w, "%d sockets, %d messages\n", n, m)
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
