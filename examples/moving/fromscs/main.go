// Fromscs is an application that moves from scs to Bulla with its users. before.go is
// what it was, after.go what it is now, and back.go the way out again; all run on the same
// Redis:
//
//	go run ./fromscs -before   # log in, and stop it
//	go run ./fromscs           # you are still logged in
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	server := flag.String("redis", "localhost:6379", "the Redis server's address")
	old := flag.Bool("before", false, "serve as it was before, with scs")
	flag.Parse()

	client := redis.NewClient(&redis.Options{Addr: *server})
	handler := before(client)
	if !*old {
		var err error
		// The last session of scs's ends a day after the switch. A real program has both,
		// the time and the key, from its configuration.
		handler, err = after(client, client, encrypt.GenerateKey(), time.Now().Add(scsLifetime))
		if err != nil {
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
func page(w http.ResponseWriter, user string, visits int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if user == "" {
		fmt.Fprint(w, `<form method="post" action="/login"><input name="user" required><button>Log in</button></form>`)
		return
	}
	fmt.Fprintf(w, `<p>%s, visit %d</p><form method="post" action="/logout"><button>Log out</button></form>`, user, visits)
}
