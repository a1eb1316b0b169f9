package sqlstore

import (
	"fmt"
	"strconv"
)

// Dialect is the SQL that a database speaks. The zero Dialect is none.
type Dialect int

const (
	// PostgreSQL 13 or later.
	PostgreSQL Dialect = 1 + iota

	// SQLite 3.35 or later.
	SQLite

	// MySQL 8 or later, and MariaDB 10.6 or later, with InnoDB.
	MySQL
)

var dialects = map[Dialect]*dialect{PostgreSQL: &postgresql, SQLite: &sqlite, MySQL: &mysql}

// String returns the dialect's name.
func (d Dialect) String() string {
	if known := dialects[d]; known != nil {
		return known.name
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

func (d Dialect) get() (*dialect, error) {
	if known := dialects[d]; known != nil {
		return known, nil
	}
	return nil, fmt.Errorf("sqlstore: %v is not a dialect; use PostgreSQL, SQLite or MySQL", d)
}

// dialect is what sets one database apart. In its texts a name in braces stands for
// what [newStatements] puts there, and a question mark for an argument, in the order
// in which they stand.
type dialect struct {
	name  string
	quote string // around an identifier

	// now is the time by the database's clock in Unix milliseconds, micros in
	// microseconds.
	now, micros string

	// standby tells whether the server that answers is a replica; none where a
	// server can't tell.
	standby string

	schema        []string
	revokedSchema []string

	create string // name, revision, expires, data: unless there is a live row
	over   string // revision, expires, data, name: where create found any row; none if it does that itself
	put    string // name, revision, expires, data

	// count raises the last number of an owner and add writes an entry. Both
	// answer a number, as inserted tells.
	count string // owner, asked, asked, expires, asked
	add   string // owner, name, number, expires, data, asked

	// tick raises the number of a list's last write and answers it, as inserted tells;
	// enter and enterOver are create and over of its entries.
	tick      string
	enter     string // name, value, expires, number
	enterOver string // value, expires, number, name

	// sweep removes rows of a table that have expired, the first to do so first. Where
	// it is none, because it would lock more than these, rows are looked for first, and
	// remove begins a DELETE that finds them by the primary key.
	sweep  string // how many
	remove string

	lastInsertID bool // a number comes as the statement's last insert ID, not as a row
	prepare      bool // statements are prepared by hand
	direct       bool // a row is asked for without database/sql; see direct
	local        bool // in this process, and not behind a network
	oneWriter    bool // one connection writes at a time

	again    func(error) bool // nothing was carried out, and it may be asked again
	full     func(error) bool
	tooLarge func(error) bool

	// packet asks for the longest statement that the server takes; none where a longer
	// one has no worse consequence than an error.
	packet string
}
