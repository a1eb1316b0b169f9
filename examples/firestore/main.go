// Firestore keeps sessions in Firestore, behind Firebase Hosting, which passes on
// no cookie but the one named __session:
//
//	export BULLA_KEY=$(openssl rand -base64 32)
//	gcloud emulators firestore start --host-port=localhost:8681 &
//	FIRESTORE_EMULATOR_HOST=localhost:8681 go run ./examples/firestore
//
// The client reads FIRESTORE_EMULATOR_HOST by itself, and then needs neither
// credentials nor a project: one whose name begins with "demo-" exists in the
// emulator alone. For a real one leave the variable out, sign in with
// "gcloud auth application-default login" and give the name with -project.
//
// The documentation of the package firestorestore says how to have Firestore
// delete what has expired, and what requests cost.
package main

import (
	"context"
	"flag"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

const note = sessions.Key[string]("note")

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Firestore</title>
<p>{{if .}}Your note: {{.}}{{else}}You have no note.{{end}}</p>
<form method="post" action="/note"><input name="note" placeholder="note" required><button>Keep</button></form>
<form method="post" action="/forget"><button>Forget</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	project := flag.String("project", "demo-bulla", "Google Cloud project")
	flag.Parse()

	key, err := encrypt.ParseKey(os.Getenv("BULLA_KEY"))
	if err != nil {
		log.Fatalf("BULLA_KEY: %v; make one with: openssl rand -base64 32", err)
	}
	// One client for the life of the process. Every change is written before
	// its response begins, so nothing waits to be flushed at the end.
	client, err := firestore.NewClient(context.Background(), *project)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(client, key)
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

func newHandler(client *firestore.Client, key encrypt.Key) (http.Handler, error) {
	store, err := firestorestore.New(client)
	if err != nil {
		return nil, err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(14*24*time.Hour),
		middleware.WithPersistentCookie(),
		middleware.WithFirebaseHosting(),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(home))
	mux.Handle("POST /note", mw.HandlerFunc(keep))
	mux.Handle("POST /forget", mw.HandlerFunc(forget))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

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

func forget(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
