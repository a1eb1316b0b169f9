package sqlstore

import (
	"context"

	"github.com/bulla-go/bulla/stores"
)

var _ stores.Counter = (*Store)(nil)

// Count implements [stores.Counter]. It is one statement, which counts in the index of
// the expiries or, where the database finds that cheaper, in the table: ask once a minute
// and not with every request.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	text := s.q.text("SELECT COUNT(*) FROM {sessions} WHERE expires > {now}")
	err = s.read(ctx, func(ctx context.Context, by querier) error { return by.QueryRowContext(ctx, text).Scan(&n) })
	return n, err
}
