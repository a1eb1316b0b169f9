// Package redisstore keeps sessions in Redis 7 or later, or in Valkey: on a
// single server, behind Sentinel, or in a Cluster.
//
// Every call for a session is one round trip and touches one key: a load brings
// the record and its end together, and a save compares and swaps in a script.
// (The first time that a server sees one of the scripts it takes two: Redis then
// asks for the script's text.)
//
// # What is in Redis
//
// A key is the prefix and the hash of the session's ID ([stores.Key]), so that
// a dump of the database logs nobody in. Its value is a string:
//
//	16 bytes   mark, the record's [stores.Revision]: 4 bytes for the Store that
//	           wrote it, a count of 4 bytes, 8 random bytes
//	56 bytes   the first 8 bytes of the last mark of each of the seven other
//	           Stores that wrote before, newest first; zero where there were
//	           fewer
//	the rest   the sealed record
//
// Every key has an expiry. Anything else that is found under a session's key,
// such as a key that would live for ever, is an error, never an empty session.
//
// # Owners
//
// Where sessions have owners ([stores.OwnerIndex]) there are two more keys for
// each owner, named as a session's key would be with the owner's hash in it, and
// ":owner" or ":epoch" behind:
//
//	:owner   hash; a field is the 24 bytes of a session's [stores.Key], its
//	         value the deadline in Unix milliseconds, when it was added in Unix
//	         microseconds, and the sealed entry, with a space after each number
//	:epoch   string; kept for 401 days after the last "log out everywhere"
//
// The list ends with its latest deadline. Entries leave it before that, when their
// deadline is past, or when they have no record and are older than an hour: all
// when the list is read, and some with every login. Lists are never searched for:
// nothing here uses SCAN or KEYS.
//
//	                 commands       round trips
//	AddEntry         1              1
//	Entries          1 + n          1 + n/500, rounded up
//	RemoveOwned      n + n/500      2 for each 500
//	Epoch, NewEpoch  1              1
//
// What leaves the list when it is read takes a command and a round trip more for
// every 500, and so does a login with a list of more than 16 entries, where one of
// the eight that it looks at is older than an hour: up to nine commands and two
// round trips.
//
// In a Cluster a round trip goes to all nodes that have some of the 500 records.
// The time limit is for each of them, not for the whole list.
//
// When memory is short an owner's sessions can be listed and removed, but there
// can be no new epoch: ending all of a user's sessions then fails before it
// begins, and says so.
//
// # Lost replies
//
// go-redis sends a command again when the connection broke before the reply
// came, and cannot know whether the first one was carried out. So:
//
//   - A save that finds its own mark in the value was carried out before, and
//     succeeds. The older marks are there for the case that others wrote
//     between the lost reply and the second attempt: without them the save
//     would look like a conflict, be replayed, and count twice. A Store's own
//     saves of one session go one after the other, and of the others' only
//     the last one is kept: so any number of writes between are seen through,
//     of up to seven other processes. Where more than seven wrote between a
//     lost reply and the second attempt, the change is made again, and counts
//     twice: with 14 processes at one session, and lost replies, 151 times in
//     109,547.
//   - A conditional delete replaces the value by 32 bytes, a zero mark and a
//     mark of its own, which Redis drops after twice the time limit. Loads,
//     saves and touches see no session there; only the second attempt of the
//     same delete knows itself in it. Without that, changing the ID of a session
//     would take it for one that was logged out meanwhile, and lose it. That
//     happens still where none of the client's attempts gets a reply, and one
//     was carried out: the change of ID fails, and the session is gone.
//   - A delete without revision leaves no key at all. It may be repeated freely,
//     and so may a touch, and what is done for owners. An epoch has a number that grows, so that a repetition makes
//     another epoch and never brings an older one back.
//
// # Time
//
// Records end at a point in time, by the clock of the Redis server. A save
// fails if that clock is ahead of this machine's by more than the session has
// left.
//
// The store has a time limit of its own for each call (see [WithTimeout]).
// go-redis by itself waits up to 5 seconds for each of 4 attempts, and does not
// stop when a context ends unless it is told to. What a call costs depends on the
// client, so choose it well:
//
//   - A [redis.Client] with ContextTimeoutEnabled is the best choice. It stops at
//     the time limit and at the deadline of the call's context, so the store
//     calls it in the caller's own goroutine. A context that is cancelled before
//     its deadline, because a browser went away, is noticed when the reply comes
//     or the time limit is over, and not while the server is silent.
//   - [redis.Client.AsyncAutoPipeline] is for many requests at once: they share
//     round trips. The store can leave such a call behind at any moment.
//   - With every other client (contexts not enabled, a Cluster, an AutoPipeline
//     that blocks) calls run in goroutines apart, which a call can leave behind at
//     any moment; they go on until the client gives up. Handing a call over and
//     back can cost as much CPU time as the call itself. The goroutines are used
//     again, and end within a second or two when there is nothing to do.
//
// A server that refuses connections, because it is down or starts anew, would
// keep a lone call waiting for 1.8 seconds: go-redis dials 20 times, with pauses. So
// [New] adds a hook to the client that sees its dials, and when one was refused and
// nothing is heard from Redis for 50 milliseconds after, the calls that wait end
// with [stores.ErrUnavailable]. The hook changes nothing for others who use the
// client. A [redis.ClusterClient] must be given to New before it is used elsewhere,
// since only the nodes that it meets afterwards have the hook. Where all Sentinels
// refuse connections, and with an AutoPipeliner of a Cluster, the wait is as long as
// the client's.
//
// # Replicas and eviction
//
// All calls go to the primary, also with a Cluster client that reads from
// replicas: a session that is not replicated yet would look as if it were logged
// out. When a primary fails, Redis may lose the writes of its last moments, since
// it replicates after it has answered: a session can then be older than it was, or
// gone, or back although it was ended. So a failover can undo a logout and a
// RevokeAll.
//
// Run Redis with maxmemory-policy noeviction. Every other policy ends sessions
// that are live when memory is short; with noeviction a save fails and says so,
// while loads, touches and deletes go on.
package redisstore
