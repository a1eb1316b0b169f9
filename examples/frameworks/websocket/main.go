// Websocket keeps a session over a websocket, with github.com/coder/websocket
// and with github.com/gorilla/websocket:
//
//	go run ./websocket
//
// The answer to the upgrade is the last that can set a cookie, so the session is
// committed before. Each message that changes it is committed by itself: the
// socket may stay open for hours. It does not outlive the session: a logout in another
// tab or another process closes it, and so do the session's times. With -idle 1m it is
// closed when nothing was said for a minute.
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
	lifetime := flag.Duration("lifetime", 24*time.Hour, "when a session ends, whatever happens")
	idle := flag.Duration("idle", time.Hour, "when a session ends that is not used")
	flag.Parse()
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(store, middleware.WithLifetime(*lifetime), middleware.WithRolling(*idle))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s/", *addr)
	log.Fatal(http.ListenAndServe(*addr, handler))
}

// newHandler needs a store on the server: a record in the cookie could not
// change after the upgrade.
func newHandler(store stores.Store, options ...middleware.Option) (http.Handler, error) {
	mw, err := middleware.New(store, options...)
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
	s, ctx, err := begin(r.Context())
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
	// Close says why and waits for the answer, which the Read below takes. Reading
	// with ctx itself would break the connection off.
	stop := context.AfterFunc(ctx, func() { conn.Close(websocket.StatusPolicyViolation, reason(context.Cause(ctx))) })
	defer stop()
	for {
		_, text, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		answer, err := receive(r.Context(), s, string(text))
		if err != nil {
			conn.Close(websocket.StatusPolicyViolation, reason(err))
			return
		}
		if err := conn.Write(r.Context(), websocket.MessageText, []byte(answer)); err != nil {
			return
		}
	}
}

var upgrader gorilla.Upgrader // the zero one compares the Origin

func withGorilla(w http.ResponseWriter, r *http.Request) {
	s, ctx, err := begin(r.Context())
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
	stop := context.AfterFunc(ctx, func() {
		sayBye(conn, reason(context.Cause(ctx)))
		conn.SetReadDeadline(time.Now().Add(time.Second)) // for the client's answer
	})
	defer stop()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		answer, err := receive(r.Context(), s, string(text))
		if err != nil {
			sayBye(conn, reason(err))
			return
		}
		if err := conn.WriteMessage(gorilla.TextMessage, []byte(answer)); err != nil {
			return
		}
	}
}

func sayBye(conn *gorilla.Conn, why string) {
	conn.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.ClosePolicyViolation, why), time.Now().Add(time.Second))
}

// begin stores the session before the upgrade, and returns a context that ends with it.
// It must have a value: an empty new session is not stored and gets no cookie.
func begin(ctx context.Context) (*sessions.Session, context.Context, error) {
	s, err := sessions.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := sockets.Update(s, func(n int) int { return n + 1 }); err != nil {
		return nil, nil, err
	}
	if err := sessions.Commit(ctx); err != nil {
		return nil, nil, err
	}
	watched, err := sessions.Watch(ctx)
	return s, watched, err
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
	switch {
	case errors.Is(err, sessions.ErrDeadline), errors.Is(err, sessions.ErrIdle):
		return "session expired"
	case errors.Is(err, sessions.ErrEnded):
		return "logged out"
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
	http.Error(w, "something went wrong", middleware.StatusOf(err))
}
