package sqlstore

import "strings"

// SQLite's clock is this machine's.
var sqlite = dialect{
	name:  "SQLite",
	quote: `"`,

	// Days since noon in Greenwich on 24 November 4714 BC, kept to the
	// millisecond and rounded because a day's fraction can't be exact.
	now:    `CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER)`,
	micros: `CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER) * 1000`,

	schema: []string{`
CREATE TABLE IF NOT EXISTS {sessions} (
	name     TEXT    NOT NULL PRIMARY KEY,
	revision BLOB    NOT NULL,
	expires  INTEGER NOT NULL,
	data     BLOB    NOT NULL
)`, `
CREATE INDEX IF NOT EXISTS {sessions index} ON {sessions} (expires)`, `
CREATE TABLE IF NOT EXISTS {owners} (
	owner    TEXT    NOT NULL,
	name     TEXT    NOT NULL,
	number   INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	written  INTEGER NOT NULL,
	data     BLOB    NOT NULL,
	PRIMARY KEY (owner, name)
)`, `
CREATE INDEX IF NOT EXISTS {owners index} ON {owners} (expires)`},

	revokedSchema: []string{`
CREATE TABLE IF NOT EXISTS {revoked} (
	name    TEXT    NOT NULL PRIMARY KEY,
	value   BLOB    NOT NULL,
	expires INTEGER NOT NULL,
	number  INTEGER NOT NULL
)`, `
CREATE INDEX IF NOT EXISTS {revoked index} ON {revoked} (expires)`, `
CREATE INDEX IF NOT EXISTS {revoked numbers} ON {revoked} (number)`},

	create: upsert + ` WHERE r.expires <= {now}`,
	put:    upsert,

	count: `
INSERT INTO {owners} AS o (owner, name, number, expires, written, data)
VALUES (?, '', CASE ? WHEN 0 THEN {micros} ELSE ? END, ?, {now}, x'')
ON CONFLICT (owner, name) DO UPDATE SET
	number = max(excluded.number, o.number + CASE ? WHEN 0 THEN 1 ELSE 0 END),
	expires = max(excluded.expires, o.expires)
RETURNING number`,
	add: `
INSERT INTO {owners} AS o (owner, name, number, expires, written, data)
VALUES (?, ?, ?, ?, {now}, ?)
ON CONFLICT (owner, name) DO UPDATE SET
	number = CASE WHEN ? = 0 AND o.expires > {now} THEN o.number ELSE excluded.number END,
	expires = excluded.expires, written = excluded.written, data = excluded.data
RETURNING number`,

	tick: `
INSERT INTO {revoked} AS r (name, value, expires, number) VALUES ('', x'', 9000000000000000, {micros})
ON CONFLICT (name) DO UPDATE SET number = r.number + 1
RETURNING number`,
	enter: enter,

	sweep: `
DELETE FROM {table} WHERE rowid IN (
	SELECT rowid FROM {table} WHERE expires <= {now} ORDER BY expires LIMIT ?)`,

	local:     true,
	oneWriter: true,

	// The drivers agree on nothing but SQLite's own words.
	again: func(err error) bool {
		return strings.Contains(err.Error(), "database is locked") || strings.Contains(err.Error(), "database table is locked")
	},
	full:     func(err error) bool { return strings.Contains(err.Error(), "database or disk is full") },
	tooLarge: func(err error) bool { return strings.Contains(err.Error(), "string or blob too big") },
}
