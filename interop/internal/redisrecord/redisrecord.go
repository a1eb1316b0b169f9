// Package redisrecord reads other systems' records in Redis, and shortens their lives.
package redisrecord

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/migrate"
)

// shorten is a script, and not PEXPIRE with LT, which Redis has since 7.0 only: the
// server is not one that we chose. A key without an end (-1) gets one; one that is not
// there (-2) stays so. It is sent as text: go-redis names a script by its SHA-1, which
// FIPS 140 does not approve.
const shorten = `
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 0`

// Retire gives the record under key a minute to live, if it has longer.
func Retire(ctx context.Context, client redis.UniversalClient, key string) error {
	return client.Eval(ctx, shorten, []string{key}, migrate.Grace.Milliseconds()).Err()
}

// Read returns the record under key, or an error that wraps migrate.ErrNone.
func Read(ctx context.Context, client redis.UniversalClient, key string) ([]byte, error) {
	data, err := client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: it is not in Redis", migrate.ErrNone)
	}
	return data, err
}
