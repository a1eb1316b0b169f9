package redisstore

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// batchSize is how many records one round trip is for: few enough that it is over
// within a small part of the time limit.
const batchSize = 500

// LoadMany implements [stores.Batcher]. It is one round trip for every 500 keys,
// to each node of a Cluster that has some. The time limit is for each of them.
func (s *Store) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	recs := make([]stores.Record, 0, len(keys))
	for batch := range slices.Chunk(keys, batchSize) {
		cmds, names := make([]redis.Cmder, len(batch)), make([]string, len(batch))
		for i, key := range batch {
			names[i] = s.name(key)
			cmds[i] = s.get(ctx, names[i], stores.Fresh)
		}
		asked := s.seen.now()
		if err := s.all(ctx, names, cmds); err != nil {
			return nil, err
		}
		for i, cmd := range cmds {
			rec, err := parseReply(cmd.(*redis.StringCmd), names[i])
			if err != nil && err != stores.ErrNotFound {
				return nil, err
			}
			if err == nil {
				s.seen.note(batch[i], rec.Revision, asked, nil)
			}
			recs = append(recs, rec)
		}
	}
	return recs, nil
}

// SaveMany implements [stores.Batcher]. Its round trips and time are those of
// LoadMany. A record that breaks the contract is found before any is written.
func (s *Store) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	writes, values := make([]write, len(keys)), make([][]byte, len(keys))
	for i, key := range keys {
		var err error
		if writes[i], values[i], err = s.save(key, recs[i]); err != nil {
			return nil, err
		}
	}
	for _, key := range keys {
		s.seen.doubt(key)
	}
	conflicts, asked := make([]bool, 0, len(keys)), s.seen.now()
	for batch := range slices.Chunk(writes, batchSize) {
		cmds, names := make([]redis.Cmder, len(batch)), make([]string, len(batch))
		for i, w := range batch {
			cmds[i], names[i] = w.command(ctx), w.name()
		}
		if err := s.all(ctx, names, cmds); err != nil {
			return nil, err
		}
		var again []redis.Cmder
		var unknown []string
		for i, cmd := range cmds {
			if noScript(cmd.Err()) {
				cmds[i] = batch[i].withText(ctx)
				again, unknown = append(again, cmds[i]), append(unknown, names[i])
			}
		}
		if again != nil {
			if err := s.all(ctx, unknown, again); err != nil {
				return nil, err
			}
		}
		for _, cmd := range cmds {
			conflict := cmd.Err() == redis.Nil
			if i := len(conflicts); !conflict {
				s.seen.note(keys[i], revisionOf(values[i]), asked, nil)
			}
			conflicts = append(conflicts, conflict)
		}
	}
	return conflicts, nil
}

// all runs commands in one round trip. If it succeeds each has a reply, none, or
// a script that its server does not know.
func (s *Store) all(ctx context.Context, names []string, cmds []redis.Cmder) error {
	c, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	if err := s.client.all(c.ctx, names, cmds); err != nil {
		return c.failed(err)
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && err != redis.Nil && !noScript(err) {
			return c.failed(err)
		}
	}
	return nil
}
