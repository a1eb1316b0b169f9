package redisstore_test

import (
	"context"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// One client fits all: a single server, Sentinel, or a Cluster. (The examples are
// compiled but not run, since they need a server.)
func Example() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"redis.internal:6379"}, // several addresses: a Cluster
		ContextTimeoutEnabled: true,                            // a Cluster needs it
		// MasterName: "sessions",             // and the addresses of Sentinels
	})
	defer client.Close() // the store does not

	store, err := redisstore.New(client,
		redisstore.WithPrefix("shop:session:"),
		redisstore.WithTimeout(500*time.Millisecond),
	)
	if err != nil {
		log.Fatal(err)
	}
	_ = store // middleware.New(store, ...)
}

// Under load go-redis can send the calls of many requests together. The store
// keeps its time limit there, although the pipeline knows none.
func ExampleNew_autoPipeline() {
	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379"})
	defer client.Close()
	piped, err := client.AsyncAutoPipeline()
	if err != nil {
		log.Fatal(err)
	}
	store, err := redisstore.New(piped)
	if err != nil {
		log.Fatal(err)
	}
	_ = store
}

// A list of the sessions in cookies that have ended. Where Redis keeps nothing else for
// sessions, let it lose nothing: appendonly yes, maxmemory-policy noeviction.
func ExampleNewRevocations() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	list, err := redisstore.NewRevocations(client, redisstore.WithPrefix("shop:"))
	if err != nil {
		log.Fatal(err)
	}
	key := encrypt.GenerateKey() // one that outlives the process
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc),
		middleware.WithOwners(key), // SetOwner at login, so that a user's sessions can be ended
		middleware.WithRevocation(ctx, list, 5*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	_ = mw.Handler
}
