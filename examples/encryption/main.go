// Encryption takes its keys from the environment, and replaces them while users
// stay signed in:
//
//	BULLA_KEYS=$(openssl rand -base64 32) go run ./examples/encryption
//
// BULLA_KEYS is a list with commas. The first key seals, all of them open. To
// rotate, put a new key in front; take the old one out when the sessions that
// were sealed under it have ended. A key that has leaked must go at once: who has
// it can make sessions that open.
//
// Sessions of a program that used NewAESCBCHMAC before open too, when its keys are in
// BULLA_CBC_KEYS. They are sealed afresh under the first key of BULLA_KEYS as
// their users come by.
package main

import (
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const note = sessions.Key[string]("note")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Encryption</title>
<p>{{if .}}Your note: {{.}}{{else}}You have no note.{{end}}</p>
<form method="post" action="/note"><input name="note" placeholder="note" required><button>Keep</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	ring, err := ringOf(os.Getenv("BULLA_KEYS"), os.Getenv("BULLA_CBC_KEYS"))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(ring)
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

// ringOf makes one key ring of the two lists. A key that does not parse is an
// error: were it skipped, the old key would go on sealing, and nobody would
// notice.
func ringOf(aesgcm, cbc string) (*encrypt.Keyring, error) {
	keys, err := parse("BULLA_KEYS", aesgcm)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("BULLA_KEYS is not set; make a key with: openssl rand -base64 32")
	}
	ring, err := encrypt.NewAESGCM(keys...)
	if err != nil {
		return nil, fmt.Errorf("BULLA_KEYS: %w", err)
	}
	old, err := parse("BULLA_CBC_KEYS", cbc)
	if err != nil {
		return nil, err
	}
	if len(old) == 0 {
		return ring, nil
	}
	oldRing, err := encrypt.NewAESCBCHMAC(old...)
	if err != nil {
		return nil, fmt.Errorf("BULLA_CBC_KEYS: %w", err)
	}
	return encrypt.NewKeyring(ring, oldRing) // the first key of the first ring seals
}

func parse(name, list string) ([]encrypt.Key, error) {
	if list == "" {
		return nil, nil
	}
	var keys []encrypt.Key
	for i, text := range strings.Split(list, ",") {
		key, err := encrypt.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s, key %d: %w", name, i+1, err)
		}
		log.Printf("%s: %v", name, key) // shows the key's ID, not the key
		keys = append(keys, key)
	}
	return keys, nil
}

func newHandler(enc encrypt.Encryptor) (http.Handler, error) {
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(14*24*time.Hour),
		middleware.WithPersistentCookie(),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /note", mw.HandlerFunc(keep))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// home only reads. Where the cookie was sealed under a retired key, it goes out
// anew all the same.
func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	n, err := note.GetOr(s, "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return page.Execute(w, n)
}

func keep(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := note.Set(s, r.FormValue("note")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
