package sqlstore

import "strings"

// MySQL's driver asks twice for a statement that is not prepared.
//
// What a server counts as changed depends on the client's clientFoundRows: rows that
// it found, or that are another now. A new revision makes both the same. An insert
// that gives way to a row is none either way; one that may overwrite is told apart
// from one that did nothing only by some clients, so there is none where it matters.
var mysql = dialect{
	name:  "MySQL",
	quote: "`",

	// UNIX_TIMESTAMP ends in 2038, and depends on the session's time zone.
	now:    `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000`,
	micros: `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`,

	// Text would be compared without regard to case.
	schema: []string{`
CREATE TABLE IF NOT EXISTS {sessions} (
	name     VARBINARY(255) NOT NULL PRIMARY KEY,
	revision BINARY(16)     NOT NULL,
	expires  BIGINT         NOT NULL,
	data     LONGBLOB       NOT NULL,
	INDEX {sessions index} (expires)
) ENGINE = InnoDB`, `
CREATE TABLE IF NOT EXISTS {owners} (
	owner    VARBINARY(255) NOT NULL,
	name     VARBINARY(255) NOT NULL,
	number   BIGINT         NOT NULL,
	expires  BIGINT         NOT NULL,
	written  BIGINT         NOT NULL,
	data     LONGBLOB       NOT NULL,
	PRIMARY KEY (owner, name),
	INDEX {owners index} (expires)
) ENGINE = InnoDB`},

	revokedSchema: []string{`
CREATE TABLE IF NOT EXISTS {revoked} (
	name    VARBINARY(255) NOT NULL PRIMARY KEY,
	value   VARBINARY(64)  NOT NULL,
	expires BIGINT         NOT NULL,
	number  BIGINT         NOT NULL,
	INDEX {revoked index} (expires),
	INDEX {revoked numbers} (number)
) ENGINE = InnoDB`},

	create: `INSERT IGNORE INTO {sessions} (name, revision, expires, data) VALUES (?, ?, ?, ?)`,
	over:   `UPDATE {sessions} SET revision = ?, expires = ?, data = ? WHERE name = ? AND expires <= {now}`,
	put: `
INSERT INTO {sessions} (name, revision, expires, data) VALUES (?, ?, ?, ?)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), expires = VALUES(expires), data = VALUES(data)`,

	count: `
INSERT INTO {owners} (owner, name, number, expires, written, data)
VALUES (?, '', LAST_INSERT_ID(IF(? = 0, {micros}, ?)), ?, {now}, '')
ON DUPLICATE KEY UPDATE
	number = LAST_INSERT_ID(GREATEST(VALUES(number), number + IF(? = 0, 1, 0))),
	expires = GREATEST(VALUES(expires), expires)`,
	add: `
INSERT INTO {owners} (owner, name, number, expires, written, data)
VALUES (?, ?, LAST_INSERT_ID(?), ?, {now}, ?)
ON DUPLICATE KEY UPDATE
	number = LAST_INSERT_ID(IF(? = 0 AND expires > {now}, number, VALUES(number))),
	expires = VALUES(expires), written = VALUES(written), data = VALUES(data)`,

	tick: `
INSERT INTO {revoked} (name, value, expires, number)
VALUES ('', '', 9000000000000000, LAST_INSERT_ID({micros}))
ON DUPLICATE KEY UPDATE number = LAST_INSERT_ID(number + 1)`,
	enter:     `INSERT IGNORE INTO {revoked} (name, value, expires, number) VALUES (?, ?, ?, ?)`,
	enterOver: `UPDATE {revoked} SET value = ?, expires = ?, number = ? WHERE name = ? AND expires <= {now}`,

	// One statement alone would lock the gap up to the next row to expire, where requests
	// insert. And of its own accord it would read a small table as a whole, or by the time of
	// expiry, and lock what it reads, and the gaps between.
	remove: `DELETE r FROM {table} AS r FORCE INDEX (PRIMARY)`,

	lastInsertID: true,
	prepare:      true,

	again: func(err error) bool {
		return mysqlError(err, "1213") || mysqlError(err, "1205") // deadlock, waited too long for a lock
	},
	full: func(err error) bool {
		return mysqlError(err, "1021") || mysqlError(err, "1114") // the disk, the table
	},
	tooLarge: func(err error) bool {
		return mysqlError(err, "1153") || strings.Contains(err.Error(), "packet for query is too large")
	},
	packet: "SELECT @@max_allowed_packet",
}

// mysqlError tells whether err is the server's error of that number. The driver has it
// in a field, which can't be asked for without importing it.
func mysqlError(err error, number string) bool {
	text := err.Error()
	return strings.Contains(text, "Error "+number+" ") || strings.Contains(text, "Error "+number+":")
}
