package sqlstore

import (
	"regexp"
	"strconv"
	"strings"
)

// statements are the texts for the tables of one name.
//
// Each changes one row or none, and the number of rows tells which. So none needs a
// transaction, and nothing depends on how far the database keeps them apart.
type statements struct {
	dialect                   *dialect
	sessions, owners, revoked string // the tables, quoted
	schema, revokedSchema     []string

	load    string // name
	create  string // name, revision, expires, data
	over    string // revision, expires, data, name
	replace string // revision, expires, data, name, revision
	put     string // name, revision, expires, data
	touch   string // expires, name, revision, expires
	count   string // as in dialect
	add     string // as in dialect
	entries string // owner
}

// tableName is what a table may be called, with or without a schema. With the
// suffixes a name stays within the 63 bytes of PostgreSQL, which cuts longer ones off
// without a word.
var tableName = regexp.MustCompile(`^(?:([A-Za-z_][A-Za-z0-9_]{0,62})\.)?([A-Za-z_][A-Za-z0-9_]{0,46})$`)

const (
	ownersSuffix  = "_owners"
	revokedSuffix = "_revoked"
	indexSuffix   = "_expires"
	numbersSuffix = "_number"
)

// newStatements returns the texts for a table whose name is checked.
func newStatements(d *dialect, table string) *statements {
	parts := tableName.FindStringSubmatch(table)
	schema, sessions, owners := parts[1], parts[2], parts[2]+ownersSuffix
	quoted := func(name string) string { return d.quote + name + d.quote }
	in := func(name string) string {
		if schema == "" {
			return quoted(name)
		}
		return quoted(schema) + "." + quoted(name)
	}
	revoked := parts[2] + revokedSuffix
	q := &statements{dialect: d, sessions: in(sessions), owners: in(owners), revoked: in(revoked)}

	// In CREATE INDEX, SQLite wants the schema before the index and the others before
	// the table.
	index := strings.NewReplacer("{sessions index}", quoted(sessions+indexSuffix), "{owners index}", quoted(owners+indexSuffix),
		"{revoked index}", quoted(revoked+indexSuffix), "{revoked numbers}", quoted(revoked+numbersSuffix))
	if d == &sqlite {
		index = strings.NewReplacer("{sessions index}", in(sessions+indexSuffix), "{owners index}", in(owners+indexSuffix),
			"{revoked index}", in(revoked+indexSuffix), "{revoked numbers}", in(revoked+numbersSuffix),
			"ON {sessions}", "ON "+quoted(sessions), "ON {owners}", "ON "+quoted(owners), "ON {revoked}", "ON "+quoted(revoked))
	}
	for _, text := range d.schema {
		q.schema = append(q.schema, q.text(index.Replace(text)))
	}
	for _, text := range d.revokedSchema {
		q.revokedSchema = append(q.revokedSchema, q.text(index.Replace(text)))
	}
	q.load = q.read(q.sessions, "revision, expires, data", "name = ? AND expires > {now}")
	q.create, q.over, q.put = q.text(d.create), q.text(d.over), q.text(d.put)
	q.replace = q.text("UPDATE {sessions} SET revision = ?, expires = ?, data = ? WHERE name = ? AND revision = ? AND expires > {now}")
	q.touch = q.text("UPDATE {sessions} SET expires = ? WHERE name = ? AND revision = ? AND expires < ? AND expires > {now}")
	q.count, q.add = q.text(d.count), q.text(d.add)
	q.entries = q.read(q.owners, "name, number, expires, {now} - written, data", "owner = ? AND name <> '' AND expires > {now}")
	return q
}

// text fills the names in, and puts PostgreSQL's placeholders in place of question
// marks.
func (q *statements) text(text string) string {
	text = strings.TrimSpace(strings.NewReplacer(
		"{now}", q.dialect.now, "{micros}", q.dialect.micros, "{sessions}", q.sessions, "{owners}", q.owners, "{revoked}", q.revoked,
	).Replace(text))
	if q.dialect != &postgresql {
		return text
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// read returns the text of a reading. Its first column tells whether a replica answers.
func (q *statements) read(table, columns, where string) string {
	standby := "FALSE"
	if q.dialect.standby != "" {
		standby = q.dialect.standby
	}
	return q.text("SELECT " + standby + ", " + columns + " FROM " + table + " WHERE " + where)
}

// repeat returns n copies of text, joined.
func repeat(n int, text, sep string) string {
	return strings.TrimSuffix(strings.Repeat(text+sep, n), sep)
}
