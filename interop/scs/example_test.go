package scs_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/interop/scs"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// The application had scs with Redis and its defaults: a cookie "session" and 24 hours.
func Example() {
	const (
		user    = sessions.Key[string]("user")
		began   = -24 * time.Hour // scs's Lifetime before a session's end
		gone    = "2026-12-01T06:00:00Z"
		address = "localhost:6379"
	)
	client := redis.NewClient(&redis.Options{Addr: address})
	store, err := redisstore.New(client)
	if err != nil {
		log.Fatal(err)
	}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // yours, from the environment
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc), middleware.WithLifetime(24*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	old, err := scs.Redis(client)
	if err != nil {
		log.Fatal(err)
	}
	until, err := time.Parse(time.RFC3339, gone) // the switch and 24 hours
	if err != nil {
		log.Fatal(err)
	}
	moving, err := migrate.New(mw, migrate.Source[scs.Session]{
		Cookie: &http.Cookie{Name: "session", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode},
		Read:   old.Read,
		Retire: old.Retire,
		Until:  until,
		Adopt: func(_ context.Context, s *sessions.Session, old scs.Session) error {
			name, ok := old.Values["user"].(string)
			if !ok {
				return migrate.ErrNone // a visitor who never logged in
			}
			if err := s.BeganAt(old.Deadline.Add(began)); err != nil {
				return err
			}
			return user.Set(s, name)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	log.Fatal(http.ListenAndServe("localhost:8080", moving.Handler(mux)))
}
