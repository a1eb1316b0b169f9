package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// openStore opens the database and makes the store's tables in it. Sweeping ends with
// ctx.
func openStore(ctx context.Context, name string) (*sql.DB, stores.Store, error) {
	driver, dialect := "pgx", sqlstore.PostgreSQL
	if !strings.HasPrefix(name, "postgres://") {
		driver, dialect = "sqlite", sqlstore.SQLite
		name = "file:" + name + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10)&_pragma=synchronous(NORMAL)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, dialect, sqlstore.WithSweep(ctx, time.Minute, func(err error) { log.Print(err) }))
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, store, nil
}

// readKeys reads the program's keys from a file, one a line, and makes it at the first
// start. They must outlive the process as the sessions do. A real program has them from
// wherever it has its other secrets, and not beside the database.
func readKeys(file string, n int) ([]encrypt.Key, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		for range n {
			text = fmt.Appendln(text, encrypt.GenerateKey().ExportSecret())
		}
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	var keys []encrypt.Key
	for _, line := range strings.Fields(string(text)) {
		key, err := encrypt.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, key)
	}
	if len(keys) != n {
		return nil, fmt.Errorf("%s has %d keys, want %d; remove it to begin anew", file, len(keys), n)
	}
	return keys, nil
}
