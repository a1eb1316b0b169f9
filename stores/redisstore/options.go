package redisstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
)

const (
	// DefaultPrefix begins every key, unless [WithPrefix] or [WithKeyFunc]
	// says otherwise.
	DefaultPrefix = "bulla:"

	// DefaultTimeout limits each call, unless [WithTimeout] says otherwise.
	DefaultTimeout = 2 * time.Second
)

// Option changes what [New] or [NewRevocations] makes.
type Option func(*options) error

type options struct {
	prefix  *string
	keyFunc func(stores.Key) string
	timeout time.Duration

	staleReads bool
	replicas   replicas

	maxRevocations int
}

// WithPrefix puts prefix in front of every key, in place of [DefaultPrefix]. It
// may be empty. Applications that share a database need different prefixes.
//
// In a Cluster a prefix with a hash tag, such as "{app}:", puts all sessions
// onto one node.
func WithPrefix(prefix string) Option {
	return func(o *options) error {
		o.prefix = &prefix
		return nil
	}
}

// WithKeyFunc lets f make the whole name of a Redis key, in place of a prefix
// and the key's text. Different keys need different names. f must be safe for
// concurrent use.
func WithKeyFunc(f func(stores.Key) string) Option {
	return func(o *options) error {
		if f == nil {
			return errors.New("redisstore: WithKeyFunc(nil): give a function")
		}
		if f(stores.Key{}) == f(stores.NewKey([24]byte{1})) {
			return errors.New("redisstore: WithKeyFunc: two sessions get the same name; it must contain the key")
		}
		o.keyFunc = f
		return nil
	}
}

// WithTimeout limits each call to d, in place of [DefaultTimeout], whether or
// not its context has a deadline. It includes the client's own attempts. Calls that
// begin together end together, up to a twentieth of d and 20 ms earlier.
func WithTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("redisstore: WithTimeout(%v): the limit must be positive", d)
		}
		o.timeout = d
		return nil
	}
}

// WithStaleReads lets a request that only reads be answered by what the client
// has in the process's memory, or by a replica: see "Stale reads" in the package's
// documentation for what can be stale, and for how long. The client must be a
// [redis.Client] with ClientSideCacheConfig and a MaxStaleness in it, which is the
// limit, a [redis.ClusterClient] with ReadOnly, RouteByLatency or RouteRandomly,
// or a [redis.AutoPipeliner] of one of them.
func WithStaleReads() Option {
	return func(o *options) error {
		o.staleReads = true
		return nil
	}
}

// WithReplicas lets every call but a Touch and a RemoveEntries wait, for wait at
// the most, until n replicas have what it wrote, so that a failover to one of them
// does not lose it; with fewer in time it fails with [stores.ErrUnavailable], and
// may have been carried out. A fresh Load waits too: what it finds stays. (It
// writes the key's expiry once more for this.)
//
// It is a WAIT behind each command, on its connection and in the same round trip.
// wait must be shorter than the store's and the client's time limits.
//
// That n replicas have it does not say that one of them is promoted: with more
// replicas than n a failover prefers the one that has most, and may not reach it.
// Hooks of a [redis.ClusterClient] do not see these commands; those of its nodes
// do.
func WithReplicas(n int, wait time.Duration) Option {
	return func(o *options) error {
		if n <= 0 || wait < time.Millisecond {
			return fmt.Errorf("redisstore: WithReplicas(%d, %v): at least one replica, and a millisecond", n, wait)
		}
		o.replicas = replicas{n, wait}
		return nil
	}
}

// WithMaxRevocations limits the list of [NewRevocations] to n entries, in place of
// [DefaultMaxRevocations]. At the limit a logout that would need another one fails. An
// entry takes 150 to 250 bytes in Redis.
func WithMaxRevocations(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("redisstore: WithMaxRevocations(%d): the limit must be 1 or more", n)
		}
		o.maxRevocations = n
		return nil
	}
}

// set does what the options say.
func (o *options) set(opts []Option) error {
	for _, opt := range opts {
		if opt == nil {
			return errors.New("redisstore: an Option is nil; leave it out")
		}
		if err := opt(o); err != nil {
			return err
		}
	}
	return nil
}

// name returns what makes the name of a Redis key.
func (o *options) name() (func(stores.Key) string, error) {
	switch {
	case o.keyFunc != nil && o.prefix != nil:
		return nil, errors.New("redisstore: WithPrefix and WithKeyFunc exclude each other; let the function add the prefix")
	case o.keyFunc != nil:
		return o.keyFunc, nil
	}
	prefix := DefaultPrefix
	if o.prefix != nil {
		prefix = *o.prefix
	}
	return func(key stores.Key) string {
		if key.Foreign() {
			return prefix + key.Name()
		}
		// in one allocation
		hash := key.Hash()
		name := append(make([]byte, 0, 96), prefix...)
		return string(base64.RawURLEncoding.AppendEncode(name, hash[:]))
	}, nil
}
