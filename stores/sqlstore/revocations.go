package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Revocations is a [stores.RevocationList] in a database, in a table of its own. It is
// safe for concurrent use. The zero Revocations is not usable; see [NewRevocations].
//
// Each entry has the number of its last write, by which readers go. Who writes takes a
// number first, from the row that has no name: so a number is greater than each that
// was taken before, whoever is first to be seen.
type Revocations struct {
	s   *Store
	max int

	left     atomic.Int64 // how many may be added until they are counted again
	counting sync.Mutex
	refused  atomic.Int64 // Unix milliseconds of when there was no room

	tick, enter, over, replace, prolong, look, since, size statement
}

var _ stores.RevocationList = (*Revocations)(nil)

// NewRevocations returns a list in the database that db is connected to, in a table that
// [RevocationsSchema] describes and [Revocations.Migrate] makes. What is said of [New]
// holds here too; it takes the same options and [WithMaxRevocations]. The table has the
// store's name with "_revoked" behind it.
func NewRevocations(db *sql.DB, dialect Dialect, opts ...Option) (*Revocations, error) {
	s, o, err := newStore(db, dialect, opts)
	if err != nil {
		return nil, err
	}
	q := s.q
	r := &Revocations{s: s, max: o.maxRevocations}
	if r.max == 0 {
		r.max = DefaultMaxRevocations
	}
	r.tick.text, r.enter.text, r.over.text = q.text(q.dialect.tick), q.text(q.dialect.enter), q.text(q.dialect.enterOver)
	r.replace.text = q.text("UPDATE {revoked} SET value = ?, expires = CASE WHEN expires > ? THEN expires ELSE ? END, number = ? WHERE name = ? AND value = ? AND expires > {now}")
	r.prolong.text = q.text("UPDATE {revoked} SET expires = ?, number = ? WHERE name = ? AND value = ? AND expires < ? AND expires > {now}")
	r.look.text = q.read(q.revoked, "value, expires", "name = ? AND expires > {now}")
	r.since.text = q.read(q.revoked, "name, value, expires, number", fmt.Sprintf("number > ? AND expires > {now} AND name <> '' ORDER BY number LIMIT %d", revocationsPage+1))
	r.size.text = q.read(q.revoked, "COUNT(*)", "name <> '' AND expires > {now}")
	if o.sweep != nil {
		go o.sweep.run(r.Sweep)
	}
	return r, nil
}

// RevocationsSchema returns the statements that make the list's table, as [Schema] does
// for the store's.
func RevocationsSchema(dialect Dialect, opts ...Option) (string, error) {
	q, err := schema(dialect, opts)
	if err != nil {
		return "", err
	}
	return strings.Join(q.revokedSchema, ";\n\n") + ";\n", nil
}

// Migrate makes the table, as [Store.Migrate] does the store's.
func (r *Revocations) Migrate(ctx context.Context) error {
	return r.s.migrate(ctx, r.s.q.revokedSchema)
}

// Sweep removes entries that are over, as [Store.Sweep] does sessions.
func (r *Revocations) Sweep(ctx context.Context, limit int) (removed int, err error) {
	return r.s.sweep(ctx, limit, table{r.s.q.revoked, []string{"name"}})
}

// revocation is a row of the table.
type revocation struct {
	value   []byte
	expires int64 // Unix milliseconds
}

// Swap implements [stores.RevocationList]. It is two statements, and two or more others
// where it does not replace old. Once for every hundredth part of the limit it also
// counts the entries.
func (r *Revocations) Swap(ctx context.Context, old string, e stores.Revocation) (now string, err error) {
	if err := stores.CheckRevocation(old, e); err != nil {
		return "", err
	}
	name, next := e.Key.Name(), revocation{[]byte(e.Value), (e.Until.UnixMicro() + 999) / 1000}
	err = r.s.write(ctx, func(ctx context.Context, by querier) error {
		if old == "" && r.left.Add(-1) < 0 {
			if err := r.room(ctx, by, name); err != nil {
				return err
			}
		}
		number, err := r.s.number(ctx, by, &r.tick)
		if err != nil {
			return err
		}
		// What is there may be over, or swept, between two statements.
		for range swapTries {
			var done bool
			if now, done, err = r.try(ctx, by, name, old, next, number); err != nil || done {
				return err
			}
		}
		return errors.New("what is there changes all the time")
	})
	if err != nil {
		return "", err
	}
	return now, nil
}

const swapTries = 10

// try swaps once. It is done if now is what the key has then.
func (r *Revocations) try(ctx context.Context, by querier, name, old string, next revocation, number int64) (now string, done bool, err error) {
	n, err := r.swap(ctx, by, name, old, next, number)
	if err != nil || n > 0 {
		return string(next.value), true, err
	}
	there, err := r.at(ctx, by, name)
	switch {
	case err != nil:
		return "", false, err
	case string(there.value) == old: // it was another a moment ago
		return "", false, nil
	case string(there.value) == string(next.value) && there.expires < next.expires:
		n, err = r.s.changed(ctx, by, &r.prolong, next.expires, number, name, next.value, next.expires)
		return string(next.value), n > 0, err
	}
	return string(there.value), true, nil
}

// swap returns how many rows it wrote: one or none.
func (r *Revocations) swap(ctx context.Context, by querier, name, old string, next revocation, number int64) (int64, error) {
	if old != "" {
		return r.s.changed(ctx, by, &r.replace, next.value, next.expires, next.expires, number, name, []byte(old))
	}
	n, err := r.s.changed(ctx, by, &r.enter, name, next.value, next.expires, number)
	if err == nil && n == 0 && r.over.text != "" {
		return r.s.changed(ctx, by, &r.over, next.value, next.expires, number, name)
	}
	return n, err
}

// at returns what is at a name, and nothing where nothing is.
func (r *Revocations) at(ctx context.Context, by querier, name string) (there revocation, err error) {
	row, err := r.s.row(ctx, by, &r.look, name)
	if err != nil {
		return there, err
	}
	var standby bool
	err = row.Scan(&standby, &there.value, &there.expires)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return revocation{}, nil
	case err == nil && standby:
		return there, errStandby
	}
	return there, err
}

// errManyRevocations is told apart from a database that is full by nothing, since the
// remedy is near to the same.
var errManyRevocations = fmt.Errorf("%w: no room in the list of what has ended; raise WithMaxRevocations or shorten the lifetime", stores.ErrFull)

// room counts the entries and is an error if there is no room for another. A name that
// has a value needs none. The count lasts for a hundredth of the limit, so that several
// processes overstep it by no more than that each; one call counts at a time, and
// those that come meanwhile pass. A full list is counted once a second.
func (r *Revocations) room(ctx context.Context, by querier, name string) error {
	if !r.counting.TryLock() {
		return nil
	}
	defer r.counting.Unlock()
	full := time.Now().UnixMilli()-r.refused.Load() < 1000
	if !full {
		row, err := r.s.row(ctx, by, &r.size)
		if err != nil {
			return err
		}
		var standby bool
		var n int
		if err := row.Scan(&standby, &n); err != nil {
			return err
		}
		if full = n >= r.max; !full {
			r.left.Store(int64(min(r.max-n, r.max/100+1) - 1)) // this one is the first
			return nil
		}
		r.refused.Store(time.Now().UnixMilli())
	}
	if there, err := r.at(ctx, by, name); err != nil || there.value != nil {
		return err
	}
	return errManyRevocations
}

// Get implements [stores.RevocationList]. It is one statement for every 500 keys, and
// one more, in PostgreSQL, where none has a value.
func (r *Revocations) Get(ctx context.Context, keys ...stores.Key) ([]string, error) {
	values := make(map[string]string)
	for batch := range slices.Chunk(keys, batchSize) {
		names := padded(batch)
		args := make([]any, len(names))
		for i, name := range names {
			args[i] = name
		}
		text := r.s.q.read(r.s.q.revoked, "name, value", "name IN ("+repeat(len(args), "?", ", ")+") AND expires > {now}")
		err := r.s.read(ctx, func(ctx context.Context, by querier) error {
			rows, err := by.QueryContext(ctx, text, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			return r.s.each(ctx, by, rows, func() error {
				var standby bool
				var name string
				var value []byte
				if err := rows.Scan(&standby, &name, &value); err != nil {
					return err
				}
				if standby {
					return errStandby
				}
				values[name] = string(value)
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = values[key.Name()]
	}
	return list, nil
}

// revocationsPage is how many entries a Since returns at most.
const revocationsPage = 10_000

// Since implements [stores.RevocationList]. It is one statement, and one more, in
// PostgreSQL, where there is nothing.
func (r *Revocations) Since(ctx context.Context, after stores.Cursor) (page stores.RevocationPage, err error) {
	var last int64
	if after != "" {
		if last, err = strconv.ParseInt(string(after), 10, 64); err != nil {
			return stores.RevocationPage{}, fmt.Errorf("%w: the cursor is none of this list's", stores.ErrUnavailable)
		}
	}
	err = r.s.read(ctx, func(ctx context.Context, by querier) error {
		page = stores.RevocationPage{Next: after}
		rows, err := r.s.query(ctx, by, &r.since, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		return r.s.each(ctx, by, rows, func() error {
			if page.More = len(page.Entries) == revocationsPage; page.More {
				return nil // the one row too many
			}
			var standby bool
			var name string
			var value []byte
			var expires, number int64
			if err := rows.Scan(&standby, &name, &value, &expires, &number); err != nil {
				return err
			}
			if standby {
				return errStandby
			}
			key, err := stores.ParseKey(name)
			if err != nil {
				return errForeignRevocation
			}
			page.Entries = append(page.Entries, stores.Revocation{Key: key, Value: string(value), Until: time.UnixMilli(expires)})
			page.Next = stores.Cursor(strconv.FormatInt(number, 10))
			return nil
		})
	})
	if err != nil {
		return stores.RevocationPage{}, err
	}
	return page, nil
}

// errForeignRevocation does not show the row.
var errForeignRevocation = errors.New("an entry in the table of revocations is not of this list")
