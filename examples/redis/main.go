// Redis keeps sessions in Redis. The program makes the client, and closes it
// after the last request:
//
//	redis-server &
//	export BULLA_KEY=$(openssl rand -base64 32)
//	go run ./examples/redis
//
// End it with Ctrl-C and start it again: you are still signed in. With another
// BULLA_KEY the sessions in Redis do not open, and their users get a 503 and not
// a logout: it is a mistake that can be undone.
//
// With -cache 10s the cookie carries a copy of the session, and most requests
// need no Redis. A session that is ended elsewhere is then over within ten
// seconds.
//
// In production Redis has a password and TLS, and a user who may do no more than
// the documentation of redisstore lists; the password comes from the environment:
//
//	export REDIS_PASSWORD=...
//	go run ./examples/redis -redis redis.internal:6380 -tls -ca ca.pem -user sessions -track 10s -replicas 1
//
// With -track 10s the process keeps what it has read, and Redis tells it of every
// change; ten seconds is how long a change can go unseen where nothing arrives.
// With -replicas 1 a logout that was confirmed survives the loss of the primary.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

const (
	user  = sessions.Key[string]("user")
	items = sessions.Key[[]string]("items")
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>Redis</title>
{{if .User}}<h1>The basket of {{.User}}</h1>{{else}}<h1>Your basket</h1>
<form method="post" action="/login"><input name="user" placeholder="name" required><button>Log in</button></form>{{end}}
<ul>{{range .Items}}<li>{{.}}</li>{{end}}</ul>
<form method="post" action="/items"><input name="item" placeholder="item" required><button>Add</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
`))

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	redisAddr := flag.String("redis", "localhost:6379", "address of Redis")
	secure := flag.Bool("tls", false, "whether Redis is spoken to by TLS")
	ca := flag.String("ca", "", "file with the certificate that Redis's is checked against; empty: the system's")
	login := flag.String("user", "", "user of Redis, whose password is in REDIS_PASSWORD")
	track := flag.Duration("track", 0, "how long what the process has read may go unchecked; 0: nothing is kept")
	replicas := flag.Int("replicas", 0, "how many replicas must have a change before it is confirmed")
	cache := flag.Duration("cache", 0, "how long a copy in the cookie serves reads; 0: no copy")
	flag.Parse()

	key, err := encrypt.ParseKey(os.Getenv("BULLA_KEY"))
	if err != nil {
		log.Fatalf("BULLA_KEY: %v; make one with: openssl rand -base64 32", err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/", port)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options := &redis.Options{
		Addr: *redisAddr, Username: *login, Password: os.Getenv("REDIS_PASSWORD"),
		ContextTimeoutEnabled: true,
	}
	if *secure {
		if options.TLSConfig, err = trust(*ca); err != nil {
			log.Fatal(err)
		}
	}
	if err := run(ctx, listener, options, key, settings{*cache, *track, *replicas}); err != nil {
		log.Fatal(err)
	}
}

// settings are how much is kept, and how safely.
type settings struct {
	cache, track time.Duration
	replicas     int
}

// trust returns what a server's certificate is checked against.
func trust(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return config, nil
}

// run serves until ctx ends, and then lets the requests that are under way finish.
func run(ctx context.Context, listener net.Listener, options *redis.Options, key encrypt.Key, s settings) error {
	client := newClient(options, s)
	defer client.Close() // when no request needs it any more: the last thing that happens here
	handler, err := newHandler(client, key, s)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func newClient(options *redis.Options, s settings) *redis.Client {
	if s.track > 0 {
		options.ClientSideCacheConfig = &redis.ClientSideCacheConfig{MaxEntries: 100_000, MaxStaleness: s.track}
	}
	return redis.NewClient(options)
}

func newHandler(client redis.UniversalClient, key encrypt.Key, s settings) (http.Handler, error) {
	var kept []redisstore.Option
	if s.track > 0 {
		kept = append(kept, redisstore.WithStaleReads())
	}
	if s.replicas > 0 {
		kept = append(kept, redisstore.WithReplicas(s.replicas, 500*time.Millisecond))
	}
	store, err := redisstore.New(client, kept...)
	if err != nil {
		return nil, err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithRolling(14*24*time.Hour),
		middleware.WithPersistentCookie(),
		middleware.WithCookieCache(s.cache), // 0 is none
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /items", add)
	mux.HandleFunc("POST /logout", logout)
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux)), nil
}

func home(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	var data struct {
		User  string
		Items []string
	}
	if data.User, err = user.GetOr(s, ""); err != nil {
		fail(w, err)
		return
	}
	if data.Items, err = items.GetOr(s, nil); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, data)
}

func login(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	// A real login checks a password here.
	if err := s.Regenerate(); err != nil {
		fail(w, err)
		return
	}
	if err := user.Set(s, r.FormValue("user")); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// add uses Update: of two requests at once, from two tabs or to two servers,
// neither loses its item.
func add(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	item := r.FormValue("item")
	if _, err := items.Update(s, func(list []string) []string { return append(list, item) }); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s, err := sessions.Load(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// fail tells a store that is down from a mistake of the program, as the
// middleware does where a commit fails.
func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	if errors.Is(err, stores.ErrUnavailable) || errors.Is(err, sessions.ErrUnreadable) {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}
