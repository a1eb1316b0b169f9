//go:build unix

package drivers_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder is a driver that writes down what the one beneath is asked.
type recorder struct {
	driver driver.Driver
	dsn    string

	mu  sync.Mutex
	ran []ran
}

// ran is one statement that was carried out.
type ran struct {
	text string
	args []driver.NamedValue
}

// recorded opens a pool whose statements are recorded.
func (d database) recorded(t testing.TB) (*sql.DB, *recorder) {
	r := &recorder{driver: d.open(t).Driver(), dsn: d.dsn}
	db := sql.OpenDB(r)
	t.Cleanup(func() { db.Close() })
	return db, r
}

// take returns what was recorded, and begins anew.
func (r *recorder) take() []ran {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.ran
	r.ran = nil
	return list
}

// Driver and Connect make it a [driver.Connector].
func (r *recorder) Driver() driver.Driver { return r.driver }

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	conn, err := r.driver.Open(r.dsn)
	return recordedConn{conn, r}, err
}

// recordedConn has nothing but Prepare, through which database/sql then goes.
type recordedConn struct {
	driver.Conn
	r *recorder
}

func (c recordedConn) Prepare(text string) (driver.Stmt, error) {
	stmt, err := c.Conn.Prepare(text)
	return recordedStmt{stmt, c.r, text}, err
}

type recordedStmt struct {
	driver.Stmt
	r    *recorder
	text string
}

func (s recordedStmt) record(args []driver.NamedValue) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.ran = append(s.r.ran, ran{s.text, args})
}

func (s recordedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.record(args)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s recordedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.record(args)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// values returns the arguments as a caller of database/sql gives them.
func (r ran) values() (args []any) {
	for _, arg := range r.args {
		args = append(args, arg.Value)
	}
	return args
}

// plan returns how the database would carry a statement out.
func (d database) plan(t testing.TB, db *sql.DB, r ran) (lines []string) {
	t.Helper()
	explain := "EXPLAIN "
	if d.driver == "sqlite" {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := db.QueryContext(t.Context(), explain+r.text, r.values()...)
	require.NoError(t, err, r.text)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(sql.NullString)
		}
		require.NoError(t, rows.Scan(row...))
		line := ""
		for i, column := range columns {
			line += column + "=" + row[i].(*sql.NullString).String + " "
		}
		lines = append(lines, line)
	}
	require.NoError(t, rows.Err())
	return lines
}
