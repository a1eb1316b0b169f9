package redisstore_test

import (
	"context"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores/redisstore"
)

// One client fits all: a single server, Sentinel, or a Cluster. (This example is
// compiled but not run, since it needs a server.)
func Example() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		ContextTimeoutEnabled: true,                            // calls then need no goroutine of their own
		Addrs:                 []string{"redis.internal:6379"}, // several addresses: a Cluster
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
// keeps its time limit there, although the pipeline knows none. (Compiled but
// not run.)
func ExampleNew_autoPipeline() {
	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379"})
	defer client.Close()
	if err := client.Ping(context.Background()).Err(); err != nil {
		log.Fatal(err)
	}
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
