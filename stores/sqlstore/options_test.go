package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores/sqlstore"
)

// nowhere is a database that can't be reached.
type nowhere struct{}

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("nowhere") }
func (nowhere) Driver() driver.Driver                        { return nil }

func TestMisconfiguration(t *testing.T) {
	db := sql.OpenDB(nowhere{})
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report := func(error) {}
	for text, make := range map[string]func() (*sqlstore.Store, error){
		"sql.Open":      func() (*sqlstore.Store, error) { return sqlstore.New(nil, sqlstore.SQLite) },
		"Dialect(0)":    func() (*sqlstore.Store, error) { return sqlstore.New(db, 0) },
		"Dialect(4)":    func() (*sqlstore.Store, error) { return sqlstore.New(db, 4) },
		"Option is nil": func() (*sqlstore.Store, error) { return sqlstore.New(db, sqlstore.SQLite, nil) },
		"NewRevocations": func() (*sqlstore.Store, error) {
			return sqlstore.New(db, sqlstore.SQLite, sqlstore.WithMaxRevocations(9))
		},
		"1 or more": func() (*sqlstore.Store, error) {
			_, err := sqlstore.NewRevocations(db, sqlstore.SQLite, sqlstore.WithMaxRevocations(0))
			return nil, err
		},
		"must be positive": func() (*sqlstore.Store, error) { return sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTimeout(0)) },
		"interval": func() (*sqlstore.Store, error) {
			return sqlstore.New(db, sqlstore.SQLite, sqlstore.WithSweep(ctx, 0, report))
		},
		"told of failures": func() (*sqlstore.Store, error) {
			return sqlstore.New(db, sqlstore.SQLite, sqlstore.WithSweep(ctx, time.Hour, nil))
		},
		"context never ends": func() (*sqlstore.Store, error) {
			return sqlstore.New(db, sqlstore.SQLite, sqlstore.WithSweep(context.Background(), time.Hour, report))
		},
	} {
		_, err := make()
		require.ErrorContains(t, err, "sqlstore: ")
		require.ErrorContains(t, err, text)
	}
	_, err := sqlstore.Schema(7)
	require.ErrorContains(t, err, "Dialect(7)")
	_, err = sqlstore.RevocationsSchema(7)
	require.ErrorContains(t, err, "Dialect(7)")
}

// A name that would change a statement is refused, and so is one that a database would
// cut off.
func TestTableNames(t *testing.T) {
	db := sql.OpenDB(nowhere{})
	defer db.Close()
	for _, name := range []string{
		"", " ", "a b", `a"b`, "a`b", "a;b", "a--", "1a", "a.", ".a", "a.b.c", "ä", "a\n", "a\x00", "a?b", "{now}", "$1", strings.Repeat("a", 48),
	} {
		_, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTable(name))
		require.ErrorContains(t, err, "WithTable", "%q", name)
		_, err = sqlstore.Schema(sqlstore.PostgreSQL, sqlstore.WithTable(name))
		require.Error(t, err)
	}
	for _, name := range []string{"s", "_", "order", "App.Sessions", strings.Repeat("a", 47)} {
		for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.SQLite, sqlstore.MySQL} {
			_, err := sqlstore.New(db, d, sqlstore.WithTable(name))
			require.NoError(t, err)
			schema, err := sqlstore.Schema(d, sqlstore.WithTable(name))
			require.NoError(t, err)
			require.NotContains(t, schema, "{")
		}
	}
}

// Whoever imports the store gets no driver with it.
func TestNoDrivers(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for _, dep := range strings.Fields(string(out)) {
		std := !strings.Contains(strings.Split(dep, "/")[0], ".")
		require.True(t, std || strings.HasPrefix(dep, "github.com/bulla-go/bulla/stores"), "imports %s", dep)
	}
}
