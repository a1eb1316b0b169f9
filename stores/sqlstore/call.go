package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// querier is what statements are sent by: the pool, or one of its connections.
type querier interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// read calls f, which changes nothing, as call does.
func (s *Store) read(caller context.Context, f func(context.Context, querier) error) error {
	return s.call(caller, nil, f)
}

// write calls f, which changes something, as call does. In SQLite one connection writes
// at a time, and the others sleep and try again, for longer and longer: so here the
// store's own writers stand in line, and only those of other processes meet that.
func (s *Store) write(caller context.Context, f func(context.Context, querier) error) error {
	return s.call(caller, s.writing, f)
}

// call calls f within the store's time limit, and again where the database says that it
// carried out nothing but would another time: it ends one of two statements that wait
// for each other, or SQLite is busy.
//
// A caller that goes away does not break the connection off, which the driver would
// have to close: only the time does.
func (s *Store) call(caller context.Context, line chan struct{}, f func(context.Context, querier) error) error {
	if err := caller.Err(); err != nil {
		return callers(err)
	}
	until := time.Now().Add(s.timeout)
	if deadline, ok := caller.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(caller), until)
	defer cancel()
	if line != nil {
		select {
		case line <- struct{}{}:
			defer func() { <-line }()
		case <-ctx.Done():
			return s.failed(caller, ctx, ctx.Err())
		}
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 4*time.Millisecond) {
		err := s.once(ctx, f)
		switch {
		case err == nil, errors.Is(err, stores.ErrConflict), errors.Is(err, stores.ErrNotFound):
			return err
		case !s.q.dialect.again(err) || !sleep(ctx, wait/2+rand.N(wait)):
			return s.failed(caller, ctx, err)
		}
	}
}

// once calls f with what it sends by.
func (s *Store) once(ctx context.Context, f func(context.Context, querier) error) error {
	if !s.q.dialect.local {
		return f(ctx, s.db)
	}
	// Nothing here waits for a network, and who waits for a lock is not interrupted by
	// a context. Heeding one would cost two goroutines for each statement, and that is
	// more than the statement.
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(context.WithoutCancel(ctx), conn)
}

// failed returns what a failure is to the caller: the error of the caller's context if
// that has ended, and otherwise one that wraps [stores.ErrUnavailable] and the cause.
func (s *Store) failed(caller, ctx context.Context, err error) error {
	if ended := deadline(caller); ended != nil {
		return callers(ended)
	}
	d := s.q.dialect
	switch {
	case errors.Is(err, errPacket), d.tooLarge(err):
		return fmt.Errorf("%w: %v: %w", stores.ErrTooLarge, d.name, err)
	case d.full(err):
		return fmt.Errorf("%w: %w: %v: %w", stores.ErrUnavailable, stores.ErrFull, d.name, err)
	case deadline(ctx) != nil:
		if !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return fmt.Errorf("%w: %v did not answer within %v, or its pool has no connection left: %w", stores.ErrUnavailable, d.name, s.timeout, err)
	}
	return fmt.Errorf("%w: %v: %w", stores.ErrUnavailable, d.name, err)
}

func callers(err error) error {
	return fmt.Errorf("sqlstore: the caller's context ended: %w", err)
}

// deadline returns ctx's error if it has ended. A connection's deadline, which the
// driver takes from ctx, can strike a moment before ctx knows.
func deadline(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return nil
}

// sleep waits, and is false where ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// statement is one text, prepared once where the dialect wants that.
type statement struct {
	text     string
	prepared atomic.Pointer[sql.Stmt]
}

// stmt returns the statement, or nil where the text is to be sent.
func (s *Store) stmt(ctx context.Context, st *statement) (*sql.Stmt, error) {
	if !s.q.dialect.prepare {
		return nil, nil
	}
	if p := st.prepared.Load(); p != nil {
		return p, nil
	}
	p, err := s.db.PrepareContext(ctx, st.text)
	if err != nil {
		return nil, err
	}
	if !st.prepared.CompareAndSwap(nil, p) { // another call was first
		p.Close()
	}
	return st.prepared.Load(), nil
}

// exec runs a statement.
func (s *Store) exec(ctx context.Context, by querier, st *statement, args ...any) (sql.Result, error) {
	if err := s.fits(ctx, by, args); err != nil {
		return nil, err
	}
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return by.ExecContext(ctx, st.text, args...)
	}
	return p.ExecContext(ctx, args...)
}

// errPacket: see fits.
var errPacket = errors.New("the server takes no statement of that length (max_allowed_packet)")

// fits asks whether the server takes what is long. If it does not, it breaks the
// connection off while the driver is still sending, or answers the statements that come
// after this one with the same error.
func (s *Store) fits(ctx context.Context, by querier, args []any) error {
	const always = 1 << 19 // no server is set to take less
	size := 0
	for _, arg := range args {
		if data, ok := arg.([]byte); ok {
			size += len(data)
		}
	}
	if size < always || s.q.dialect.packet == "" {
		return nil
	}
	const around = 1 << 10 // the text, and the other arguments
	var most int
	if err := by.QueryRowContext(ctx, s.q.dialect.packet).Scan(&most); err != nil {
		return err
	}
	if size+around > most {
		return errPacket
	}
	return nil
}

// changed is exec, and returns how many rows were changed.
func (s *Store) changed(ctx context.Context, by querier, st *statement, args ...any) (int64, error) {
	res, err := s.exec(ctx, by, st, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement that returns rows.
func (s *Store) query(ctx context.Context, by querier, st *statement, args ...any) (*sql.Rows, error) {
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return by.QueryContext(ctx, st.text, args...)
	}
	return p.QueryContext(ctx, args...)
}

// row runs a statement that returns at most one row.
func (s *Store) row(ctx context.Context, by querier, st *statement, args ...any) (*sql.Row, error) {
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return by.QueryRowContext(ctx, st.text, args...), nil
	}
	return p.QueryRowContext(ctx, args...), nil
}

// each calls f for each row. Where there is none it tells whether a replica found nothing.
func (s *Store) each(ctx context.Context, by querier, rows *sql.Rows, f func() error) error {
	some := false
	for ; rows.Next(); some = true {
		if err := f(); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil || some {
		return err
	}
	rows.Close() // the pool may have no other connection
	return s.nothing(ctx, by)
}
