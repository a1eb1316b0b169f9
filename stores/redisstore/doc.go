// Package redisstore provides a store of sessions in Redis 7 or later: on a single
// server, behind Sentinel, or in a Cluster. Valkey has the commands that it uses;
// tested it is with Redis 7.0.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(client)
//	mw, err := middleware.New(store, ...)
//
// # What is in Redis
//
// One key for each session, named by a prefix and the hash of the session's ID,
// with the sealed record in it; and for each owner of sessions one more, named
// as a session's would be with ":owner" behind, with the list of what the owner
// has. Every key has an expiry. Lists are never searched for: nothing here uses
// SCAN or KEYS. What is found under such a key and is not of this store is an
// error, never an empty session.
//
// # Costs
//
// Every call is one round trip and touches one key; LoadMany, SaveMany and
// RemoveEntries take one for every 500 keys, in a Cluster to each node that has
// some. (The first time that a server sees one of the scripts it takes two: it
// then asks for the script's text.)
//
// All reads are answered by the primary, unless [WithStaleReads] is set. Where the
// client is made to ask replicas or a cache of its own, or hides whether it does
// (an AutoPipeliner), a script reads instead of a GET.
//
// # Stale reads
//
// With [WithStaleReads] and a client that tracks, a session that is read again
// costs no round trip: it is in the process's memory, sealed as it is in Redis.
//
//	client := redis.NewClient(&redis.Options{
//		Addr: "redis:6379", ContextTimeoutEnabled: true,
//		ClientSideCacheConfig: &redis.ClientSideCacheConfig{MaxEntries: 100_000, MaxStaleness: 10 * time.Second},
//	})
//	store, err := redisstore.New(client, redisstore.WithStaleReads())
//
// A change or an end that was made in another process is seen when Redis tells the
// client, which is milliseconds later, or as soon as the client notices that a
// connection has broken. Where nothing can tell it, because packets vanish, it is
// seen after MaxStaleness at the latest, counted from when the reply came; New
// asks for one. go-redis tracks with a single server only, by RESP3, in database 0
// and without a provider of credentials. What this process has written, or was
// told by the primary, it sees at once. Redis takes what is written out of the
// client's memory; what this process wrote itself it reads without a round trip for
// a tenth of a second, and for as long another's change after it can go unseen.
//
// With a Cluster client that reads from replicas a read is as old as the replica
// is behind, for which Redis has no limit; what this process has written or seen it
// sees for ten seconds at least, and a replica that stays behind for longer is for
// Redis to take out (replica-serve-stale-data no does, where the link is broken).
//
// Neither loses a change, brings back what has ended, or misses a session that has
// just begun: what changes a session compares it with the primary's, and what is
// not found, or has ended, is asked for there.
//
// # Time
//
// Each call has a time limit, whether or not its context has a deadline; see
// [WithTimeout]. No call has a goroutine of its own. A context that is cancelled
// before its deadline, because a browser went away, is noticed when the reply
// comes or the time is over. A server that refuses connections is noticed within
// 0.2 seconds by a [redis.Client]; a Cluster may take the whole time.
//
// A write is sent once: where its reply is lost it fails, and may have been
// carried out. Other clients than a [redis.AutoPipeliner] carry out nothing
// later that a call has given up, unless Redis had got it.
//
// Records end by the clocks of the machines that run the application; the
// server's clock does not matter.
//
// # Memory
//
// Run Redis with maxmemory-policy noeviction. Every other policy ends sessions
// that are live when memory is short. With noeviction no session begins or grows
// then, and a call says so, but loads, touches, logouts and all writes that need
// no more room go on.
//
// # What Redis must allow
//
// A user for the application, who can do nothing but this, with the prefix of its
// keys:
//
//	ACL SETUSER sessions on >secret ~bulla:* +get +set +del +eval +evalsha +getrange +setrange +strlen +pexpire +pttl +time +hget +hset +hdel +hgetall +hrandfield
//
// and for a list of what has ended ([NewRevocations])
//
//	ACL SETUSER sessions +hmget +hlen +xadd +xrange +xdel
//
// and besides for a client that tracks, for [WithReplicas], and for a Cluster,
// where +readonly is for clients that read from replicas:
//
//	ACL SETUSER sessions +client|tracking
//	ACL SETUSER sessions +wait +pexpireat +pexpiretime
//	ACL SETUSER sessions +cluster|slots +command +readonly
//
// # Settings of the client
//
// ContextTimeoutEnabled, so that a call ends with its time and your hooks are
// used. PoolSize for as many requests as wait for Redis at once, MinIdleConns for
// those of an ordinary minute. ReadTimeout no longer than [WithTimeout]. MaxRetries
// as it is: only reads are sent again. TLSConfig wherever the network is not yours:
// records are sealed, but their keys, which end sessions, and the password are not.
//
// A [redis.AutoPipeliner] puts the commands of requests that come together into one
// round trip. Let it be the store's own: go-redis sends commands that it may send
// again apart from those that it must not, as all of the store's, so that others'
// between them split its pipelines.
//
// A client without ContextTimeoutEnabled is copied by its WithTimeout, which leaves
// its hooks behind: tracing sees nothing of the store.
//
// # Failover
//
// When a primary fails, Redis may lose the writes of its last moments: a session
// can then be older than it was, or gone, and one that was logged out be back. With
// a replica that is 200 ms behind these were 1,200 of 19,482 acknowledged changes
// and 53 of 4,848 logouts under load; with [WithReplicas] none was lost, at the price
// that each write waits for the replica.
//
// A [redis.ClusterClient] asks who has the slots when a node tells it to, or after ten
// seconds; the store lets it ask as soon as a node can't be reached.
package redisstore
