package sqlstore

import "errors"

// PostgreSQL's drivers keep prepared statements by themselves, or don't where
// pgbouncer is in between: so they are told the text each time.
var postgresql = dialect{
	name:  "PostgreSQL",
	quote: `"`,

	// date_part has all microseconds until the year 2255, and is cheaper than extract.
	now:    `(date_part('epoch', statement_timestamp()) * 1000)::bigint`,
	micros: `(date_part('epoch', clock_timestamp()) * 1000000)::bigint`,

	standby: `pg_is_in_recovery()`,

	// A change of a row writes another beside it: a tenth of each page is kept for that,
	// so that sessions can be ended when the disk is full.
	schema: []string{`
CREATE TABLE IF NOT EXISTS {sessions} (
	name     text COLLATE "C" NOT NULL PRIMARY KEY,
	revision bytea            NOT NULL,
	expires  bigint           NOT NULL,
	data     bytea            NOT NULL
) WITH (fillfactor = 90)`, `
CREATE INDEX IF NOT EXISTS {sessions index} ON {sessions} (expires)`, `
CREATE TABLE IF NOT EXISTS {owners} (
	owner    text COLLATE "C" NOT NULL,
	name     text COLLATE "C" NOT NULL,
	number   bigint           NOT NULL,
	expires  bigint           NOT NULL,
	written  bigint           NOT NULL,
	data     bytea            NOT NULL,
	PRIMARY KEY (owner, name)
) WITH (fillfactor = 90)`, `
CREATE INDEX IF NOT EXISTS {owners index} ON {owners} (expires)`},

	revokedSchema: []string{`
CREATE TABLE IF NOT EXISTS {revoked} (
	name    text COLLATE "C" NOT NULL PRIMARY KEY,
	value   bytea            NOT NULL,
	expires bigint           NOT NULL,
	number  bigint           NOT NULL
) WITH (fillfactor = 90)`, `
CREATE INDEX IF NOT EXISTS {revoked index} ON {revoked} (expires)`, `
CREATE INDEX IF NOT EXISTS {revoked numbers} ON {revoked} (number)`},

	create: upsert + ` WHERE r.expires <= {now}`,
	put:    upsert,

	count: `
INSERT INTO {owners} AS o (owner, name, number, expires, written, data)
VALUES (?, '', CASE ?::bigint WHEN 0 THEN {micros} ELSE ?::bigint END, ?, {now}, '')
ON CONFLICT (owner, name) DO UPDATE SET
	number = greatest(excluded.number, o.number + CASE ?::bigint WHEN 0 THEN 1 ELSE 0 END),
	expires = greatest(excluded.expires, o.expires)
RETURNING number`,
	add: `
INSERT INTO {owners} AS o (owner, name, number, expires, written, data)
VALUES (?, ?, ?, ?, {now}, ?)
ON CONFLICT (owner, name) DO UPDATE SET
	number = CASE WHEN ?::bigint = 0 AND o.expires > {now} THEN o.number ELSE excluded.number END,
	expires = excluded.expires, written = excluded.written, data = excluded.data
RETURNING number`,

	tick: `
INSERT INTO {revoked} AS r (name, value, expires, number) VALUES ('', '', 9000000000000000, {micros})
ON CONFLICT (name) DO UPDATE SET number = r.number + 1
RETURNING number`,
	enter: enter,

	// An array, so that the rows are fetched by where they are; and each that somebody
	// else writes or sweeps is left to him.
	sweep: `
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM {table} WHERE expires <= {now} ORDER BY expires LIMIT ?::bigint FOR UPDATE SKIP LOCKED))`,

	direct: true,

	again: func(err error) bool {
		switch sqlState(err) {
		case "40001", "40P01": // serialization failure, deadlock
			return true
		}
		return false
	},
	full:     func(err error) bool { return sqlState(err) == "53100" },
	tooLarge: func(err error) bool { return sqlState(err) == "54000" },
}

// upsert writes a record over whatever is there. SQLite understands it too.
const upsert = `
INSERT INTO {sessions} AS r (name, revision, expires, data) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, expires = excluded.expires, data = excluded.data`

// enter writes an entry of a list where there is none. SQLite understands it too.
const enter = `
INSERT INTO {revoked} AS r (name, value, expires, number) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires = excluded.expires, number = excluded.number
WHERE r.expires <= {now}`

// sqlState returns the five characters of an error of PostgreSQL. Its drivers agree
// on the method.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}
