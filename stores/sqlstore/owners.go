package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Beside an owner's entries there is a row without a name, which has the greatest
// number that was given. It lives as long as the last entry. A new number is no less
// than the microseconds since 1970, so that numbers don't begin again after that row is
// gone. Who adds an entry takes a number first: of two who add at once, the row makes
// one wait, so that the numbers differ.

// errForeign does not show the row.
var errForeign = errors.New("an entry in the table of owners is not of this store")

// AddEntry implements [stores.OwnerIndex]. It is two statements.
func (s *Store) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	v, err := newValue(stores.Record{Data: e.Data, Expires: e.Expires})
	if err != nil {
		return 0, err
	}
	if e.Number >= math.MaxInt64 {
		return 0, fmt.Errorf("%w: the entry's Number is none that this index gave", stores.ErrInvalidRecord)
	}
	asked := int64(e.Number)
	var number int64
	err = s.write(ctx, func(ctx context.Context, by querier) error {
		last, err := s.number(ctx, by, &s.count, owner.Name(), asked, asked, v.expires, asked)
		if err != nil {
			return err
		}
		if asked != 0 {
			last = asked
		}
		number, err = s.number(ctx, by, &s.add, owner.Name(), e.Key.Name(), last, v.expires, v.data, asked)
		return err
	})
	return uint64(number), err
}

// number runs a statement that writes one row and answers its number.
func (s *Store) number(ctx context.Context, by querier, st *statement, args ...any) (n int64, err error) {
	if s.q.dialect.lastInsertID {
		res, err := s.exec(ctx, by, st, args...)
		if err != nil {
			return 0, err
		}
		return res.LastInsertId()
	}
	row, err := s.row(ctx, by, st, args...)
	if err != nil {
		return 0, err
	}
	err = row.Scan(&n)
	return n, err
}

// Entries implements [stores.OwnerIndex]. It is one statement.
func (s *Store) Entries(ctx context.Context, owner stores.Key) (list []stores.Entry, err error) {
	err = s.read(ctx, func(ctx context.Context, by querier) error {
		list = nil
		rows, err := s.query(ctx, by, &s.entries, owner.Name())
		if err != nil {
			return err
		}
		defer rows.Close()
		return s.each(ctx, by, rows, func() error {
			var standby bool
			var name string
			var number, expires, age int64
			var data []byte
			if err := rows.Scan(&standby, &name, &number, &expires, &age, &data); err != nil {
				return err
			}
			if standby {
				return errStandby
			}
			key, err := stores.ParseKey(name)
			if err != nil || number <= 0 {
				return errForeign
			}
			list = append(list, stores.Entry{
				Key: key, Number: uint64(number), Data: data,
				Expires: time.UnixMilli(expires),
				Age:     max(time.Duration(age)*time.Millisecond, 0), // the clock may have gone back
			})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// RemoveEntries implements [stores.OwnerIndex]. It is one statement for every 500
// keys. The time limit is for each of them.
func (s *Store) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	for batch := range slices.Chunk(keys, batchSize) {
		args := []any{owner.Name()}
		for _, name := range padded(batch) {
			args = append(args, name)
		}
		text := s.q.text("DELETE FROM {owners} WHERE owner = ? AND name IN (" + repeat(len(args)-1, "?", ", ") + ")")
		if _, err := s.change(ctx, text, args); err != nil {
			return err
		}
	}
	return nil
}
