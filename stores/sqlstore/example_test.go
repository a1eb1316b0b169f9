package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// The driver is the program's choice: here it would import
// github.com/jackc/pgx/v5/stdlib.
func ExampleNew() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := sql.Open("pgx", "postgres://app@db/app")
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.PostgreSQL,
		sqlstore.WithSweep(ctx, time.Minute, func(err error) { slog.Warn("sessions were not swept", "error", err) }))
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // one that outlives the process
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc))
	if err != nil {
		log.Fatal(err)
	}
	_ = mw.Handler
}

func ExampleSchema() {
	schema, err := sqlstore.Schema(sqlstore.SQLite, sqlstore.WithTable("sessions"))
	if err != nil {
		log.Fatal(err)
	}
	first, _, _ := strings.Cut(schema, ";")
	fmt.Println(first)
	// Output:
	// CREATE TABLE IF NOT EXISTS "sessions" (
	// 	name     TEXT    NOT NULL PRIMARY KEY,
	// 	revision BLOB    NOT NULL,
	// 	expires  INTEGER NOT NULL,
	// 	data     BLOB    NOT NULL
	// )
}

// A list of the sessions in cookies that have ended, in the database that there is.
func ExampleNewRevocations() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := sql.Open("pgx", "postgres://app@db/app")
	if err != nil {
		log.Fatal(err)
	}
	list, err := sqlstore.NewRevocations(db, sqlstore.PostgreSQL,
		sqlstore.WithSweep(ctx, time.Hour, func(err error) { slog.Warn("the list was not swept", "error", err) }))
	if err != nil {
		log.Fatal(err)
	}
	if err := list.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // one that outlives the process
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc),
		middleware.WithRevocation(ctx, list, 5*time.Second), middleware.WithAnonymousRevocation(100_000))
	if err != nil {
		log.Fatal(err)
	}
	_ = mw.Handler
}
