// Fromgorilla is an application that moves from gorilla/sessions to Bulla with its users.
// before.go is what it was, after.go what it is now:
//
//	export OLD_KEY=$(openssl rand -hex 32)
//	go run ./fromgorilla -before   # log in, and stop it
//	go run ./fromgorilla           # you are still logged in
package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/bulla-go/bulla/encrypt"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	old := flag.Bool("before", false, "serve as it was before, with gorilla/sessions")
	flag.Parse()
	oldKey, err := hex.DecodeString(os.Getenv("OLD_KEY"))
	if err != nil || len(oldKey) < 32 {
		log.Fatal("set OLD_KEY to 32 bytes in hexadecimal digits")
	}
	handler := before(oldKey)
	if !*old {
		// A real program has both, the time and the key, from its configuration.
		if handler, err = after(oldKey, encrypt.GenerateKey(), time.Now()); err != nil {
			log.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/", port)
	log.Fatal(http.Serve(listener, http.NewCrossOriginProtection().Handler(handler)))
}

// page writes what both show.
func page(w http.ResponseWriter, user string, cart []item) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if user == "" {
		fmt.Fprint(w, `<form method="post" action="/login"><input name="user" required><button>Log in</button></form>`)
		return
	}
	fmt.Fprintf(w, `<p>%s has %v</p><form method="post" action="/buy"><button>Buy</button></form>
<form method="post" action="/logout"><button>Log out</button></form>`, user, cart)
}

// item is a type of the application's. Gob knows it by the name "main.item", which the
// old cookies have in them.
type item struct {
	Name  string
	Count int
}
