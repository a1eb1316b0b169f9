package scs

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/internal/redisrecord"
	"github.com/bulla-go/bulla/sessions"
)

// Redis returns a reader of what scs's redisstore and goredisstore have written.
func Redis(client redis.UniversalClient, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	switch {
	case err != nil:
		return nil, err
	case client == nil:
		return nil, fmt.Errorf("scs: %w: the Redis client is nil", sessions.ErrConfig)
	case o.table != "":
		return nil, fmt.Errorf("scs: %w: WithTable is for SQL; in Redis keys have a prefix, WithPrefix", sessions.ErrConfig)
	}
	prefix := "scs:session:"
	if o.prefix != nil {
		prefix = *o.prefix
	}
	return &Reader{o, redisStore{client, prefix}}, nil
}

type redisStore struct {
	client redis.UniversalClient
	prefix string
}

func (r redisStore) read(ctx context.Context, id string) ([]byte, error) {
	return redisrecord.Read(ctx, r.client, r.prefix+id)
}

func (r redisStore) retire(ctx context.Context, id string) error {
	return redisrecord.Retire(ctx, r.client, r.prefix+id)
}
