package main

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/bulla-go/bulla/internal/sqltest"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// The names of the configurations with a database; the database's comes behind.
const (
	sqlSealed = "Bulla, sealed, "
	sqlGob    = "scs, gob, "
	sqlJSON   = "scs, JSON, "
)

// sqlDatabase is one with a driver, which all contenders share.
type sqlDatabase struct {
	name    string
	dialect sqlstore.Dialect
	open    func() *sql.DB          // a pool of its own
	scs     func(*sql.DB) scs.Store // nil: not beside scs
	scsDDL  string
	fill    string // from, to, expires: inserts sessions
}

// sqlDatabases starts the servers. What it returns last ends them.
func sqlDatabases() ([]sqlDatabase, func(), error) {
	postgresql, err := sqltest.OpenPostgreSQL()
	if err != nil {
		return nil, nil, err
	}
	mariadb, err := sqltest.OpenMariaDB("innodb-buffer-pool-size=1G", "innodb-log-file-size=1G") // as is usual for a table of that size
	if err != nil {
		postgresql.Close()
		return nil, nil, err
	}
	dir := must(os.MkdirTemp("", "bulla-bench"))
	end := func() {
		postgresql.Close()
		mariadb.Close()
		os.RemoveAll(dir)
	}
	open := func(driver, dsn string) func() *sql.DB {
		return func() *sql.DB {
			db := must(sql.Open(driver, dsn))
			db.SetMaxIdleConns(redisClients)
			return db
		}
	}
	return []sqlDatabase{
		{
			name: "PostgreSQL", dialect: sqlstore.PostgreSQL,
			open:   open("pgx", postgresql.DSN),
			scs:    func(db *sql.DB) scs.Store { return scsPostgres{db} },
			scsDDL: "CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL); CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)",
			fill: `INSERT INTO bulla_sessions (name, revision, expires, data)
				SELECT md5(i::text), decode(md5(i::text), 'hex'), %[3]d, decode(repeat(md5(i::text), 12), 'hex') FROM generate_series(%[1]d, %[2]d) AS s(i)`,
		},
		{
			name: "SQLite", dialect: sqlstore.SQLite,
			open:   open("sqlite", "file:"+filepath.Join(dir, "sessions.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10)&_pragma=synchronous(NORMAL)"),
			scs:    func(db *sql.DB) scs.Store { return sqlite3store.NewWithCleanupInterval(db, 0) },
			scsDDL: "CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL); CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)",
			fill: `INSERT INTO bulla_sessions (name, revision, expires, data)
				SELECT lower(hex(randomblob(16))), randomblob(16), %[3]d, randomblob(200)
				FROM (WITH RECURSIVE s(i) AS (SELECT %[1]d UNION ALL SELECT i + 1 FROM s WHERE i < %[2]d) SELECT i FROM s) s`,
		},
		{
			name: "MariaDB", dialect: sqlstore.MySQL,
			open: open("mysql", mariadb.DSN),
			fill: `INSERT INTO bulla_sessions (name, revision, expires, data)
				SELECT MD5(seq), UNHEX(MD5(seq)), %[3]d, UNHEX(REPEAT(MD5(seq), 12)) FROM seq_%[1]d_to_%[2]d`,
		},
	}, end, nil
}

// scenarios are what a site does with one database.
func (d sqlDatabase) scenarios() []scenario {
	if d.scs == nil {
		return nil
	}
	contenders := []contender{
		{sqlSealed + d.name, func(fields []field) *site {
			store := must(sqlstore.New(d.open(), d.dialect))
			check(store.Migrate(background))
			return bullaSite(fields, store, withEncryption())
		}},
		{sqlGob + d.name, func(fields []field) *site { return d.scsSite(fields, nil) }},
		{sqlJSON + d.name, func(fields []field) *site { return d.scsSite(fields, scsJSON{}) }},
	}
	return []scenario{
		{name: "SQL read, 200 B, " + d.name, size: small, handler: read, contenders: contenders},
		{name: "SQL change, 200 B, " + d.name, size: small, handler: change, contenders: contenders},
	}
}

func (d sqlDatabase) scsSite(fields []field, codec scs.Codec) *site {
	db := d.open()
	must(db.Exec(d.scsDDL))
	m := scsManager(codec)
	m.Store = d.scs(db)
	return scsSite(fields, m)
}

// sqlTable leaves its scenarios out, and says so, where there is no server.
func sqlTable(w io.Writer, e effort, wanted *regexp.Regexp, r results, million int) error {
	names := []string{"SQL read, 200 B, PostgreSQL", "SQL change, 200 B, PostgreSQL", "SQL sweep, PostgreSQL", "SQL read, 200 B, SQLite", "SQL change, 200 B, SQLite", "SQL sweep, SQLite", "SQL sweep, MariaDB"}
	if !slices.ContainsFunc(names, wanted.MatchString) {
		return nil
	}
	databases, end, err := sqlDatabases()
	if err != nil {
		fmt.Fprintf(w, "\nNo scenarios with a database: %v.\n", err)
		return nil
	}
	defer end()
	for _, d := range databases {
		for _, sc := range d.scenarios() {
			if !wanted.MatchString(sc.name) {
				continue
			}
			if r.rows[sc.name], err = sc.run(e.across(1)); err != nil {
				return err
			}
			reportRows(w, sc.name, r.rows[sc.name])
		}
		if name := "SQL sweep, " + d.name; wanted.MatchString(name) {
			reportSweep(w, name, million, d.sweep(million))
		}
	}
	return nil
}

func sqlTargets() (list []target) {
	for _, database := range []string{"PostgreSQL", "SQLite"} {
		for _, what := range []string{"SQL read, 200 B, ", "SQL change, 200 B, "} {
			list = append(list, target{what + database + ": of scs with JSON", 1, false, timeRatio(what+database, sqlSealed+database, sqlJSON+database)})
		}
	}
	return list
}

// scsPostgres stands in for scs's postgresstore: the same statements, sent in the same
// way, by database/sql and without a context.
type scsPostgres struct{ db *sql.DB }

func (s scsPostgres) Find(token string) (data []byte, found bool, err error) {
	err = s.db.QueryRow("SELECT data FROM sessions WHERE token = $1 AND current_timestamp < expiry", token).Scan(&data)
	if err == sql.ErrNoRows {
		return nil, false, nil
	}
	return data, err == nil, err
}

func (s scsPostgres) Commit(token string, data []byte, expiry time.Time) error {
	_, err := s.db.Exec("INSERT INTO sessions (token, data, expiry) VALUES ($1, $2, $3) ON CONFLICT (token) DO UPDATE SET data = EXCLUDED.data, expiry = EXCLUDED.expiry", token, data, expiry)
	return err
}

func (s scsPostgres) Delete(token string) error {
	_, err := s.db.Exec("DELETE FROM sessions WHERE token = $1", token)
	return err
}
