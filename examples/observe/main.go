// Observe turns the session hooks into counters that Prometheus can scrape, with
// the standard library's expvar, and logs with slog:
//
//	go run ./examples/observe
//
// Visit http://localhost:8080/ and then http://localhost:8080/metrics.
package main

import (
	"context"
	"expvar"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const visits = sessions.Key[int]("visits")

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()

	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	counters := new(expvar.Map)
	expvar.Publish("bulla", counters) // for what reads expvar's JSON
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler, err := newHandler(store, counters, logger)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	log.Printf("open http://localhost:%s/ and http://localhost:%[1]s/metrics", port)
	log.Fatal(http.Serve(listener, handler))
}

func newHandler(store stores.Store, counters *expvar.Map, logger *slog.Logger) (http.Handler, error) {
	mw, err := middleware.New(store,
		middleware.WithLifetime(time.Hour),
		middleware.WithHooks(count(counters)),
		middleware.WithLogger(logger),
	)
	if err != nil {
		return nil, err
	}
	app := http.NewServeMux()
	app.Handle("GET /{$}", mw.HandlerFunc(home))
	app.Handle("POST /logout", mw.HandlerFunc(logout))

	mux := http.NewServeMux()
	mux.Handle("/", http.NewCrossOriginProtection().Handler(app))
	// The numbers are nobody's secret but your traffic's: on a public server
	// give them an address of their own.
	mux.Handle("GET /metrics", metrics(counters))
	return mux, nil
}

// count returns hooks that count. The key of an event names one session, so it is
// no label: there would be a time series for every user.
func count(counters *expvar.Map) sessions.Hooks {
	event := func(name string) func(context.Context, sessions.Event) {
		total := fmt.Sprintf("bulla_events_total{event=%q}", name)
		seconds := fmt.Sprintf("bulla_seconds_total{event=%q}", name)
		counters.Add(total, 0) // a rate needs to have seen the zero
		return func(_ context.Context, ev sessions.Event) {
			counters.Add(total, 1)
			counters.AddFloat(seconds, ev.Took.Seconds())
		}
	}
	return sessions.Hooks{
		Loaded:      event("loaded"),
		Created:     event("created"),
		Saved:       event("saved"),
		Touched:     event("touched"),
		Conflict:    event("conflict"),
		Regenerated: event("regenerated"),
		Destroyed:   event("destroyed"),
		Revoked:     event("revoked"),
		Ended:       event("ended"),
		LateChange:  event("late_change"),
		Refused:     event("refused"),
		StoreError:  event("store_error"),
		Rejected: func(_ context.Context, ev sessions.Event) {
			// The reasons are few and fixed; what the client sent is not.
			counters.Add(fmt.Sprintf("bulla_rejected_total{reason=%q}", ev.Reason), 1)
		},
	}
}

// metrics writes the counters in Prometheus's text format, version 0.0.4.
func metrics(counters *expvar.Map) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		last := ""
		counters.Do(func(kv expvar.KeyValue) { // in the order of the names
			if name, _, _ := strings.Cut(kv.Key, "{"); name != last {
				fmt.Fprintf(w, "# TYPE %s counter\n", name)
				last = name
			}
			fmt.Fprintf(w, "%s %s\n", kv.Key, kv.Value)
		})
	}
}

// What home returns is answered 503 where the store failed; the hook and the log have it.
func home(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Visit %d\n", n)
	return err
}

func logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
