package scs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
)

// Dialect says what a database speaks, and in which of its types scs keeps when a
// session expires.
type Dialect int

// The dialects of scs's stores.
const (
	PostgreSQL Dialect = 1 + iota // postgresstore, pgxstore
	MySQL                         // mysqlstore; MariaDB
	SQLite                        // sqlite3store
)

// A statement has TABLE for the table's name. The server's clock decides, as with scs.
// The token comes back as it was stored, since MySQL compares text without regard to
// case.
var statements = [...]struct{ read, retire string }{
	PostgreSQL: {
		"SELECT token, data FROM TABLE WHERE token = $1 AND current_timestamp < expiry",
		"UPDATE TABLE SET expiry = current_timestamp + interval '1 minute' WHERE token = $1 AND expiry > current_timestamp + interval '1 minute'",
	},
	MySQL: {
		"SELECT token, data FROM TABLE WHERE token = ? AND UTC_TIMESTAMP(6) < expiry",
		"UPDATE TABLE SET expiry = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE WHERE token = ? AND expiry > UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE",
	},
	SQLite: {
		"SELECT token, data FROM TABLE WHERE token = ? AND julianday('now') < expiry",
		"UPDATE TABLE SET expiry = julianday('now', '+1 minute') WHERE token = ? AND expiry > julianday('now', '+1 minute')",
	},
}

// SQL returns a reader of what scs's stores for SQL databases have written. The caller
// owns db, and imports its driver.
func SQL(db *sql.DB, dialect Dialect, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	switch {
	case err != nil:
		return nil, err
	case db == nil:
		return nil, fmt.Errorf("scs: %w: the database is nil; check the error of sql.Open", sessions.ErrConfig)
	case dialect < PostgreSQL || dialect > SQLite:
		return nil, fmt.Errorf("scs: %w: no such dialect; use PostgreSQL, MySQL or SQLite", sessions.ErrConfig)
	case o.prefix != nil:
		return nil, fmt.Errorf("scs: %w: WithPrefix is for Redis; a database has a table, WithTable", sessions.ErrConfig)
	}
	table := o.table
	if table == "" {
		table = "sessions"
	}
	text := statements[dialect]
	return &Reader{o, sqlStore{db, strings.Replace(text.read, "TABLE", table, 1), strings.Replace(text.retire, "TABLE", table, 1)}}, nil
}

type sqlStore struct {
	db                *sql.DB
	reading, retiring string
}

func (s sqlStore) read(ctx context.Context, id string) (data []byte, err error) {
	var stored string
	err = s.db.QueryRowContext(ctx, s.reading, id).Scan(&stored, &data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && stored != id {
		return nil, fmt.Errorf("%w: it is not in the table", migrate.ErrNone)
	}
	return data, err
}

func (s sqlStore) retire(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, s.retiring, id)
	return err
}
