package redisstore

import (
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// lag is for how long a process remembers what it has seen where nothing says how
// far a replica can be behind.
const lag = 10 * time.Second

// staleness returns for how long a read of c's can be stale, or what keeps any
// from being so: go-redis leaves its cache off without an error.
func staleness(c redis.UniversalClient) (time.Duration, error) {
	switch c := c.(type) {
	case *redis.Client:
		o := c.Options()
		switch {
		case o.ClientSideCache != nil:
			return 0, errors.New("redisstore: WithStaleReads: ClientSideCache does not tell its limit; set ClientSideCacheConfig instead")
		case o.ClientSideCacheConfig == nil:
			return 0, errors.New("redisstore: WithStaleReads: nothing is stale with this redis.Client; set its ClientSideCacheConfig, or leave the option out")
		case o.ClientSideCacheConfig.MaxStaleness <= 0:
			return 0, errors.New("redisstore: WithStaleReads: set MaxStaleness in the client's ClientSideCacheConfig: a logout must reach a process that lost touch with Redis")
		case o.Protocol != 3 || o.DB != 0 || o.CredentialsProvider != nil || o.CredentialsProviderContext != nil || o.StreamingCredentialsProvider != nil:
			return 0, errors.New("redisstore: WithStaleReads: go-redis has no cache but with RESP3, in database 0 and without a provider of credentials")
		}
		return o.ClientSideCacheConfig.MaxStaleness, nil
	case *redis.ClusterClient:
		if !c.Options().ReadOnly {
			return 0, errors.New("redisstore: WithStaleReads: nothing is stale with this redis.ClusterClient; set ReadOnly, RouteByLatency or RouteRandomly, or leave the option out")
		}
	}
	return lag, nil
}
