package sqlstore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// sweepStep is how many rows one statement removes: whoever waits for it, in SQLite
// every writer, waits for a few milliseconds.
const sweepStep = 100

// Sweep removes rows that have expired, limit at most, and returns how many. It does
// so in small steps and pauses after each for as long as it took; so it takes no more
// than half of one connection's time, and holds no lock for longer than a step. When
// it returns less than limit there were no more. Several processes may sweep at once.
//
// No promise depends on it: what has expired is not found, swept or not.
func (s *Store) Sweep(ctx context.Context, limit int) (removed int, err error) {
	return s.sweep(ctx, limit, table{s.q.sessions, []string{"name"}}, table{s.q.owners, []string{"owner", "name"}})
}

func (s *Store) sweep(ctx context.Context, limit int, tables ...table) (removed int, err error) {
	for _, t := range tables {
		var from int64
		for removed < limit {
			began := time.Now()
			most := min(limit-removed, sweepStep)
			found, gone, err := s.sweepStep(ctx, t, most, &from)
			removed += gone
			if err != nil {
				return removed, err
			}
			if found < most {
				break
			}
			if !sleep(ctx, time.Since(began)) {
				return removed, callers(ctx.Err())
			}
		}
	}
	return removed, nil
}

// table is one, with the columns that name a row.
type table struct {
	name string
	key  []string
}

// sweepStep removes most rows or all that there are, and returns how many it found and
// how many of these it removed. It begins at the expiry that the step before has left in
// from: what a step removes can stay in an index for a while, for others to step over.
func (s *Store) sweepStep(ctx context.Context, t table, most int, from *int64) (found, gone int, err error) {
	if text := s.q.dialect.sweep; text != "" {
		n, err := s.change(ctx, s.q.text(strings.ReplaceAll(text, "{table}", t.name)), []any{most})
		return int(n), int(n), err
	}
	return s.sweepByKey(ctx, t, most, from)
}

// sweepByKey finds rows and removes them, in two statements: the first takes no locks,
// and the second locks no row that it does not remove. A row that has become another
// meanwhile stays.
func (s *Store) sweepByKey(ctx context.Context, t table, most int, from *int64) (found, gone int, err error) {
	var args []any
	err = s.read(ctx, func(ctx context.Context, by querier) error {
		args = nil
		text := s.q.text(fmt.Sprintf("SELECT %s, expires FROM %s WHERE expires >= %d AND expires <= {now} ORDER BY expires LIMIT %d", strings.Join(t.key, ", "), t.name, *from, most))
		rows, err := by.QueryContext(ctx, text)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			row := make([]any, len(t.key))
			for i := range row {
				row[i] = new(string)
			}
			if err := rows.Scan(append(row, from)...); err != nil {
				return err
			}
			args = append(args, row...)
		}
		return rows.Err()
	})
	if found = len(args) / len(t.key); err != nil || found == 0 {
		return found, 0, err
	}
	row := strings.Join(t.key, " = ? AND ") + " = ?"
	n, err := s.change(ctx, s.q.text(strings.ReplaceAll(s.q.dialect.remove, "{table}", t.name)+" WHERE expires <= {now} AND ("+repeat(found, row, " OR ")+")"), args)
	return found, int(n), err
}

// sweeping is what [WithSweep] asks for.
type sweeping struct {
	ctx    context.Context
	every  time.Duration
	failed func(error)
}

func (w *sweeping) run(sweep func(ctx context.Context, limit int) (int, error)) {
	wait := rand.N(w.every)
	for sleep(w.ctx, wait) {
		if _, err := sweep(w.ctx, math.MaxInt); err != nil && w.ctx.Err() == nil {
			w.failed(err)
		}
		wait = w.every
	}
}
