package aiohttpsession_test

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/aiohttpsession"
)

// EncryptedCookieStorage(b"Thirty  two  length  bytes  key.")
func ExampleEncryptedCookie() {
	store, err := aiohttpsession.EncryptedCookie([]byte("Thirty  two  length  bytes  key."))
	if err != nil {
		panic(err)
	}
	_, err = aiohttpsession.New(store, aiohttpsession.Config{})
	fmt.Println(err)
	// Output: <nil>
}

// RedisStorage(redis, max_age=3600)
func ExampleRedis() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	store, err := aiohttpsession.Redis(client)
	if err != nil {
		panic(err)
	}
	_, err = aiohttpsession.New(store, aiohttpsession.Config{MaxAge: time.Hour})
	fmt.Println(err)
	// Output: <nil>
}
