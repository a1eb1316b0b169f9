// Package sqlstore provides a store of sessions in a database: PostgreSQL, SQLite,
// MySQL or MariaDB, by database/sql. It imports no driver; the program does.
//
//	db, err := sql.Open("pgx", "postgres://app@db/app")
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithSweep(ctx, time.Minute, report))
//	err = store.Migrate(ctx) // or run sqlstore.Schema(sqlstore.PostgreSQL) among your migrations
//	mw, err := middleware.New(store, ...)
//
// It is tested with github.com/jackc/pgx/v5/stdlib, modernc.org/sqlite and
// github.com/go-sql-driver/mysql; with PostgreSQL 15, pgbouncer 1.18 before it, and MariaDB
// 10.11. With MySQL itself it is not tested.
//
// # What is in the database
//
// Two tables. In the first, a row for each session: the hash of the session's ID, a
// random revision, when the row ends in Unix milliseconds, and the sealed record. In the
// second, named with "_owners" behind, what each owner of sessions has. Neither has an
// ID, a user's name or anything readable in it, and a dump together with the encryption
// key opens no record, since the ID is needed for that.
//
// [NewRevocations] keeps a list of what has ended, for sessions in cookies, in a third
// table, named with "_revoked" behind: hashes, and nothing readable either.
//
// # Costs
//
// Load, Save and Put are one statement each, on one row, by the primary key. AddEntry is
// two, and so are a Touch that moves nothing, in PostgreSQL a Load that finds nothing, and
// in MySQL a Save that creates a record where one has expired. LoadMany, SaveMany and RemoveEntries take one for every
// 500 rows. There are no transactions, and nothing depends on the isolation level that
// the database is set to; what it breaks off (a deadlock, a failure to serialize) is
// sent again within the time limit.
//
// # Time
//
// Each call has a time limit, whether or not its context has a deadline; see
// [WithTimeout]. Waiting for a connection of the pool counts: a pool that is exhausted
// is an error, and not a hang. A context that is cancelled before its deadline, because
// a browser went away, is not passed on, since drivers answer that by closing the
// connection. A driver that does not stop with its context keeps the call waiting:
// SQLite's while it waits for a lock, so its busy_timeout should be below the limit.
//
// Records end by the database's clock, looked at by each statement, swept or not. It
// should be right to within seconds: where it is fast, sessions end early by as much.
//
// # Sweeping
//
// What has expired stays in the tables until it is swept: by [WithSweep], or by a
// program that calls [Store.Sweep]. Sweeping takes small steps, each of which locks
// nothing but the rows that it removes; in SQLite, where one lock is for all who write,
// they wait for a step at most.
//
// # PostgreSQL
//
// The store keeps nothing in a connection, so pgbouncer may hand connections around in
// transaction mode. Versions before 1.21, and later ones with max_prepared_statements=0,
// can't with prepared statements, which pgx makes by itself: there, put
// default_query_exec_mode=exec into its connection string. Where that is forgotten most
// calls fail with [stores.ErrUnavailable].
//
// A table keeps a tenth of its pages free, so that what is there can be changed, and a
// session ended, when the disk has no room for more ([stores.ErrFull]).
//
// All reads must be answered by the primary. A standby is refused: connect with
// target_session_attrs=read-write where several hosts are named.
//
// # MySQL and MariaDB
//
// A record is limited by the server's max_allowed_packet: 16 MB in MariaDB and 64 MB in
// MySQL, unless they are set otherwise. A record of more than half a megabyte takes one
// statement more, which asks for that limit.
//
// Don't let a proxy send readings to replicas: a session that has ended would go on
// there, and the store can't see it.
//
// # SQLite
//
// Use write-ahead logging, as in this string for modernc.org/sqlite:
//
//	file:sessions.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10)&_pragma=synchronous(NORMAL)
//
// Several processes may use one file. The store's own writers stand in line; who meets
// another process's asks again every few milliseconds, within the time limit, and a
// database that stays locked is an error, never a logout. SQLite's own way to wait, which
// busy_timeout sets, asks less and less often, so that a busy process keeps the others
// out: keep it short in the pool that the store has. With synchronous(NORMAL) a loss of
// power may undo the last moments, logouts too; FULL, which is SQLite's default, waits for
// the disk with each write.
package sqlstore
