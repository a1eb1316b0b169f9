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

// do calls f within the store's time limit, and again where the database says that it
// carried out nothing but would another time: it ends one of two statements that wait
// for each other, or SQLite is busy.
//
// A caller that goes away does not break the connection off, which the driver would
// have to close: only the time does.
func (s *Store) do(caller context.Context, f func(context.Context) error) error {
	if err := caller.Err(); err != nil {
		return callers(err)
	}
	until := time.Now().Add(s.timeout)
	if deadline, ok := caller.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(caller), until)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 4*time.Millisecond) {
		err := f(ctx)
		switch {
		case err == nil, errors.Is(err, stores.ErrConflict), errors.Is(err, stores.ErrNotFound):
			return err
		case !s.q.dialect.again(err) || !sleep(ctx, wait/2+rand.N(wait)):
			return s.failed(caller, ctx, err)
		}
	}
}

// write is do for what changes something. In SQLite one connection writes at a time,
// and the others sleep and try again, for longer and longer: so here the store's own
// writers stand in line, and only those of other processes meet that.
func (s *Store) write(caller context.Context, f func(context.Context) error) error {
	if s.writing == nil {
		return s.do(caller, f)
	}
	return s.do(caller, func(ctx context.Context) error {
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
			return f(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// failed returns what a failure is to the caller: the error of the caller's context if
// that has ended, and otherwise one that wraps [stores.ErrUnavailable] and the cause.
func (s *Store) failed(caller, ctx context.Context, err error) error {
	if ended := deadline(caller); ended != nil {
		return callers(ended)
	}
	d := s.q.dialect
	switch {
	case d.tooLarge(err):
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

// exec runs a statement and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, st *statement, args ...any) (int64, error) {
	res, err := s.result(ctx, st, args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s *Store) result(ctx context.Context, st *statement, args []any) (sql.Result, error) {
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return s.db.ExecContext(ctx, st.text, args...)
	}
	return p.ExecContext(ctx, args...)
}

// query runs a statement that returns rows.
func (s *Store) query(ctx context.Context, st *statement, args ...any) (*sql.Rows, error) {
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return s.db.QueryContext(ctx, st.text, args...)
	}
	return p.QueryContext(ctx, args...)
}

// one is query for at most one row; where there is none it is [sql.ErrNoRows].
func (s *Store) one(ctx context.Context, st *statement, args ...any) (*sql.Row, error) {
	p, err := s.stmt(ctx, st)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return s.db.QueryRowContext(ctx, st.text, args...), nil
	}
	return p.QueryRowContext(ctx, args...), nil
}
