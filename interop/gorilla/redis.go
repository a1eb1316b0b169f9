package gorilla

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/internal/redisrecord"
	"github.com/bulla-go/bulla/sessions"
)

// Redis returns a reader of sessions that boj/redistore keeps in Redis: the cookie is a
// signed ID, and keys begin with "session_". name and keyPairs are as for [Cookie].
func Redis(client redis.UniversalClient, name string, keyPairs [][]byte, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	opener, err := newOpener(name, keyPairs, *o.maxAge, o.notAfter, maxCookie)
	if err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", sessions.ErrConfig, err)
	}
	store, err := newRedisStore(client, &o, "session_")
	if err != nil {
		return nil, err
	}
	return &Reader{opener: opener, store: store, isID: base32Text(32), decode: o.decoder()}, nil
}

// RedisUnsigned returns a reader of sessions that rbcervilla/redisstore keeps in Redis:
// the cookie is the ID itself, of its own KeyGenFunc, and keys begin with "session:".
func RedisUnsigned(client redis.UniversalClient, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	switch {
	case err != nil:
		return nil, err
	case *o.maxAge != defaultMaxAge:
		return nil, unfit("WithMaxAge", "is for signed cookies; here the record ends in Redis")
	case !o.notAfter.IsZero():
		return nil, unfit("WithNotAfter", "is for signed cookies")
	}
	store, err := newRedisStore(client, &o, "session:")
	if err != nil {
		return nil, err
	}
	return &Reader{store: store, isID: base32Text(64), decode: o.decoder()}, nil
}

type redisStore struct {
	client redis.UniversalClient
	prefix string
}

func newRedisStore(client redis.UniversalClient, o *options, prefix string) (store, error) {
	if client == nil {
		return nil, fmt.Errorf("gorilla: %w: the Redis client is nil", sessions.ErrConfig)
	}
	if o.prefix != nil {
		prefix = *o.prefix
	}
	return redisStore{client, prefix}, nil
}

func (r redisStore) read(ctx context.Context, id string) ([]byte, error) {
	return redisrecord.Read(ctx, r.client, r.prefix+id)
}

func (r redisStore) retire(ctx context.Context, id string) error {
	return redisrecord.Retire(ctx, r.client, r.prefix+id)
}
