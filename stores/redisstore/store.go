package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// Store is a [stores.Server] in Redis. It is safe for concurrent use. The zero
// Store is not usable; see [New].
type Store struct {
	name    func(stores.Key) string
	timeout time.Duration
	client  client
	seen    *seen // none where no read may be stale

	window atomic.Pointer[window] // of the calls that begin now
}

var (
	_ stores.Store      = (*Store)(nil)
	_ stores.Server     = (*Store)(nil)
	_ stores.Toucher    = (*Store)(nil)
	_ stores.Batcher    = (*Store)(nil)
	_ stores.OwnerIndex = (*Store)(nil)
)

// New returns a store that uses client: a [redis.Client], also one of Sentinel,
// a [redis.ClusterClient] with ContextTimeoutEnabled, or a [redis.AutoPipeliner]
// of either. The caller owns the client and closes it after the store's last
// call. A [redis.Ring] is refused: it makes an outage look like a logout. New
// does no I/O.
//
// Of a [redis.Client] without ContextTimeoutEnabled the store uses a copy that
// shares the connections and keeps the time limit. The copy has none of the
// client's hooks: where you have some, for tracing, set the option.
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	o := options{timeout: DefaultTimeout}
	if err := o.set(opts); err != nil {
		return nil, err
	}
	if o.maxRevocations != 0 {
		return nil, errors.New("redisstore: New keeps no list of what has ended; give WithMaxRevocations to NewRevocations")
	}
	name, err := o.name()
	if err != nil {
		return nil, err
	}
	c, err := newClient(client, o.timeout)
	if err != nil {
		return nil, err
	}
	if o.replicas.n > 0 {
		if err := o.replicas.check(client, o.timeout); err != nil {
			return nil, err
		}
		c.replicas = o.replicas
	}
	s := &Store{name: name, timeout: o.timeout, client: c}
	if o.staleReads {
		behind, err := staleness(client)
		if err != nil {
			return nil, err
		}
		s.seen = newSeen(behind)
	}
	return s, nil
}

// Place implements [stores.Store].
func (s *Store) Place() stores.Place {
	return stores.Place{Name: "redis", Server: s, StaleReads: s.seen != nil}
}

// Load implements [stores.Server]. It is one round trip, and none or two where
// [WithStaleReads] is set. Without that the primary answers, whatever fresh says.
func (s *Store) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	name := s.name(key)
	if s.seen != nil && fresh == stores.MayBeStale {
		if rec, ok := s.seen.mine(key); ok && ctx.Err() == nil {
			return rec, nil
		}
		cmd := redis.NewStringCmd(ctx, "get", name)
		if err := s.read(ctx, s.client.do, cmd); err != nil {
			return stores.Record{}, err
		}
		rec, err := parseReply(cmd, name)
		if err != nil || !s.seen.other(key, rec.Revision) {
			return rec, err
		}
	}
	asked := s.seen.now()
	cmd, run := s.get(ctx, name, fresh), s.client.do
	if fresh == stores.Fresh {
		run = func(ctx context.Context, cmd redis.Cmder) error { return s.client.safe(ctx, name, cmd) }
	}
	if err := s.read(ctx, run, cmd); err != nil {
		return stores.Record{}, err
	}
	rec, err := parseReply(cmd, name)
	if err == nil {
		s.seen.note(key, rec.Revision, asked, nil)
	}
	return rec, err
}

// get asks the primary for a value. A replica or a cache in the client may answer
// a GET, but not a script, which has no other use here. Its text is shorter than
// its hash.
//
// A fresh value is one that does not get lost where [WithReplicas] is set: who
// looks whether a write was carried out must not find one that too few have.
func (s *Store) get(ctx context.Context, name string, fresh stores.Freshness) *redis.StringCmd {
	text := "return redis.call('GET',KEYS[1])"
	switch {
	case fresh == stores.Fresh && s.client.replicas.n > 0:
		text = confirmText
	case s.client.plainGet:
		return redis.NewStringCmd(ctx, "get", name)
	}
	cmd := redis.NewStringCmd(ctx, "eval", text, 1, name)
	cmd.SetFirstKeyPos(3) // where a Cluster finds the key
	return cmd
}

// read runs a command that changes nothing. If it succeeds there is a reply, or
// none.
func (s *Store) read(ctx context.Context, run func(context.Context, redis.Cmder) error, cmd redis.Cmder) error {
	c, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	if err := run(c.ctx, cmd); err != nil && err != redis.Nil {
		return c.failed(err)
	}
	return nil
}

// Save implements [stores.Server]. It is one round trip.
func (s *Store) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	w, value, err := s.save(key, rec)
	if err != nil {
		return "", err
	}
	asked := s.seen.now()
	if _, err := s.write(ctx, w); err != nil {
		s.seen.doubt(key)
		return "", err
	}
	rev := revisionOf(value)
	if s.seen != nil {
		s.seen.note(key, rev, asked, &stores.Record{Data: value[headSize:], Expires: time.UnixMilli(rec.Expires.UnixMilli()), Revision: rev})
	}
	return rev, nil
}

// save returns the command of a Save, and the value that it writes.
func (s *Store) save(key stores.Key, rec stores.Record) (write, []byte, error) {
	value, life, err := newValue(rec)
	if err != nil {
		return write{}, nil, err
	}
	if rec.Revision == "" {
		return write{args: []any{"set", s.name(key), value, "px", life, "nx"}}, value, nil
	}
	w := replaceScript.on(s.name(key), value, life, string(rec.Revision))
	if now := time.Now().UnixMilli(); !outlives(rec.Revision, now) {
		w.args = append(w.args, now)
	}
	return w, value, nil
}

// Put implements [stores.Server]. It is one round trip.
func (s *Store) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	value, life, err := newValue(rec)
	if err != nil {
		return err
	}
	if _, err := s.write(ctx, putScript.on(s.name(key), value, life)); err != nil {
		return err
	}
	s.seen.note(key, revisionOf(value), s.seen.now(), nil) // whatever was written meanwhile
	return nil
}

// Touch implements [stores.Toucher]. It is one round trip, and the revision stays
// the same.
func (s *Store) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	millis, life, err := lifespan(expires)
	if err != nil {
		return "", err
	}
	until := binary.BigEndian.AppendUint64(nil, millis)
	w := touchScript.on(s.name(key), string(rev), until, life, time.Now().UnixMilli())
	w.lonely = true
	_, err = s.write(ctx, w)
	s.seen.doubt(key) // it has another expiry
	if err != nil {
		return "", err
	}
	return rev, nil
}

// write makes one write, and returns its command for the reply. No reply is a
// conflict.
func (s *Store) write(ctx context.Context, w write) (once, error) {
	c, err := s.begin(ctx)
	if err != nil {
		return once{}, err
	}
	defer c.end()
	run := func(cmd once) error {
		if w.lonely {
			return s.client.do(c.ctx, cmd)
		}
		return s.client.safe(c.ctx, w.name(), cmd)
	}
	cmd := w.command(c.ctx)
	err = run(cmd)
	if noScript(err) {
		cmd = w.withText(c.ctx)
		err = run(cmd)
	}
	if err == redis.Nil {
		return once{}, stores.ErrConflict
	}
	if err != nil {
		return once{}, c.failed(err)
	}
	return cmd, nil
}

// errForeign does not show the value. Redis keys may be shown: they hold a hash.
func errForeign(name string) error {
	return fmt.Errorf("%w: what is under the redis key %q is not of this store; keep other data under other prefixes", stores.ErrUnavailable, name)
}

// noScript tells that the server was asked for a script that it does not know
// yet. Nothing was carried out.
func noScript(err error) bool {
	return err != nil && !errors.Is(err, redis.Nil) && redis.HasErrorPrefix(err, "NOSCRIPT")
}
