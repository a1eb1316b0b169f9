package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// DefaultTable is the table of the records, unless [WithTable] says
	// otherwise.
	DefaultTable = "bulla_sessions"

	// DefaultTimeout limits each call, unless [WithTimeout] says otherwise.
	DefaultTimeout = 2 * time.Second

	// DefaultMaxRevocations is the limit of [NewRevocations], unless
	// [WithMaxRevocations] says otherwise.
	DefaultMaxRevocations = 1 << 20
)

// Option changes what [New] makes.
type Option func(*options) error

type options struct {
	table   string
	timeout time.Duration
	sweep   *sweeping

	maxRevocations int
}

func newOptions(opts []Option) (options, error) {
	o := options{table: DefaultTable, timeout: DefaultTimeout}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("sqlstore: an Option is nil; leave it out")
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// WithTable names the table of the records, in place of [DefaultTable]. The other
// table and the indexes have the same name with more behind it. It is letters,
// digits and underscores, 47 at most, and may have the name of a schema and a dot in
// front. It is quoted, so that case counts where it counts in the database.
// Applications that share a database need different tables.
func WithTable(name string) Option {
	return func(o *options) error {
		if !tableName.MatchString(name) {
			return fmt.Errorf("sqlstore: WithTable(%q): use at most 47 letters, digits and underscores, with or without a schema and a dot in front", name)
		}
		o.table = name
		return nil
	}
}

// WithTimeout limits each call to d, in place of [DefaultTimeout], whether or not its
// context has a deadline. It includes waiting for a connection of the pool.
func WithTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("sqlstore: WithTimeout(%v): the limit must be positive", d)
		}
		o.timeout = d
		return nil
	}
}

// WithSweep removes what has expired, in a goroutine that New starts and that ends
// with ctx. The first sweep begins within every, at a time of its own, so that
// processes which were started together don't sweep together. failed is told what a
// sweep that failed ran into; the next one tries again.
func WithSweep(ctx context.Context, every time.Duration, failed func(error)) Option {
	return func(o *options) error {
		switch {
		case ctx == nil || ctx.Done() == nil:
			return errors.New("sqlstore: WithSweep: the context never ends, so the sweeping would not either; give one that ends with the program's work")
		case every <= 0:
			return fmt.Errorf("sqlstore: WithSweep(%v): the interval must be positive", every)
		case failed == nil:
			return errors.New("sqlstore: WithSweep: give a function that is told of failures, such as one that logs them")
		}
		o.sweep = &sweeping{ctx, every, failed}
		return nil
	}
}

// WithMaxRevocations limits the list of [NewRevocations] to n entries, in place of
// [DefaultMaxRevocations]. At the limit a logout that would need another one fails. Several
// processes may overstep it by a hundredth each.
func WithMaxRevocations(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("sqlstore: WithMaxRevocations(%d): the limit must be 1 or more", n)
		}
		o.maxRevocations = n
		return nil
	}
}
