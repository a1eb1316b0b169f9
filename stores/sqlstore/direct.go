package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
)

// one runs a statement that returns at most one row, and writes its columns to into:
// pointers to what a driver has a bool, an int64 or bytes for. Where there is no row it
// returns [sql.ErrNoRows].
func (s *Store) one(ctx context.Context, by querier, st *statement, args []any, into ...any) error {
	if s.q.dialect.direct {
		err := s.direct(ctx, st.text, args, into)
		if !errors.Is(err, driver.ErrSkip) && !errors.Is(err, driver.ErrBadConn) {
			return err
		}
	}
	row, err := s.row(ctx, by, st, args...)
	if err != nil {
		return err
	}
	return row.Scan(into...)
}

// direct does what one does, by a connection of the pool, but asks its driver itself.
// With a context that can end, database/sql starts a goroutine for each query, to close
// the rows; the driver heeds the context without, and that goroutine was a third of what
// a load costs. [driver.ErrSkip] and [driver.ErrBadConn] mean that nothing was done here:
// the driver has no such method or other types, or the connection was gone.
func (s *Store) direct(ctx context.Context, text string, args, into []any) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(raw any) error {
		by, ok := raw.(driver.QueryerContext)
		if !ok {
			return driver.ErrSkip
		}
		values := make([]driver.NamedValue, len(args))
		for i, arg := range args {
			values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
		}
		rows, err := by.QueryContext(ctx, text, values)
		if err != nil {
			return err
		}
		row := make([]driver.Value, len(into))
		if len(rows.Columns()) != len(row) {
			err = driver.ErrSkip
		} else if err = rows.Next(row); err == io.EOF {
			err = sql.ErrNoRows
		} else if err == nil {
			err = assign(into, row)
		}
		return errors.Join(err, rows.Close())
	})
}

func assign(into []any, row []driver.Value) error {
	for i, value := range row {
		ok := false
		switch to := into[i].(type) {
		case *bool:
			*to, ok = value.(bool)
		case *int64:
			*to, ok = value.(int64)
		case *[]byte:
			if *to, ok = value.([]byte); ok {
				*to = slices.Clone(*to) // the driver's may be used again
			}
		}
		if !ok {
			return driver.ErrSkip
		}
	}
	return nil
}
