package sqlstore

import (
	"context"
	"strings"
)

// Schema returns the statements that make the store's tables, for a program's own
// migrations. They do nothing where the tables are there. Of the options only
// [WithTable] matters here.
func Schema(dialect Dialect, opts ...Option) (string, error) {
	q, err := schema(dialect, opts)
	if err != nil {
		return "", err
	}
	return strings.Join(q.schema, ";\n\n") + ";\n", nil
}

func schema(dialect Dialect, opts []Option) (*statements, error) {
	d, err := dialect.get()
	if err != nil {
		return nil, err
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	return newStatements(d, o.table), nil
}

// Migrate makes the tables that are not there. Several processes may call it at once.
// Each of its statements has the store's time limit.
func (s *Store) Migrate(ctx context.Context) error { return s.migrate(ctx, s.q.schema) }

func (s *Store) migrate(ctx context.Context, schema []string) error {
	for _, text := range schema {
		make := func(ctx context.Context, by querier) error {
			_, err := by.ExecContext(ctx, text)
			return err
		}
		// Where two processes make one table at once, PostgreSQL refuses the later
		// one, in spite of IF NOT EXISTS. By then it is there.
		err := s.write(ctx, make)
		if err != nil {
			err = s.write(ctx, make)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
