package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// A list of what has ended is a hash and a stream. In the hash a field is the 24 bytes
// of a key, its value
//
//	 8 bytes   Until: Unix milliseconds, big endian
//	the rest   the entry's Value
//
// and the field "longest" has for how many milliseconds an entry was to stay at most,
// in 8 bytes. The stream has the entries in the order in which they were written, under
// IDs that Redis gives and that never go back: one field "e", the 24 bytes of the key
// and what the hash has. The scripts have these sizes too.
//
// Neither has an expiry of its own: with most policies Redis would sacrifice a key that
// has one, when memory is short, and with it every logout. What has been in the stream
// for longer than any entry was to stay is taken out by the writes that follow.

// DefaultMaxRevocations limits a list, unless [WithMaxRevocations] says otherwise.
const DefaultMaxRevocations = 1 << 22

// revocationsPage is how many entries a Since returns at most.
const revocationsPage = 2000

// Revocations is a [stores.RevocationList] in Redis. It is safe for concurrent use. The
// zero Revocations is not usable; see [NewRevocations].
type Revocations struct {
	store        *Store
	hash, stream string
	max          int
}

var _ stores.RevocationList = (*Revocations)(nil)

// NewRevocations returns a list that uses client, as [New] does. It takes the options
// [WithPrefix], [WithTimeout], [WithReplicas] and [WithMaxRevocations]. In a Cluster the whole list is
// on one node. NewRevocations does no I/O.
//
// Run that Redis with maxmemory-policy noeviction and, unless the option for it says
// that all sessions may end with a restart, with persistence (appendonly yes). A
// primary that fails may lose the writes of its last moments, logouts among them.
func NewRevocations(client redis.UniversalClient, opts ...Option) (*Revocations, error) {
	o := options{timeout: DefaultTimeout, maxRevocations: DefaultMaxRevocations}
	if err := o.set(opts); err != nil {
		return nil, err
	}
	switch {
	case o.keyFunc != nil:
		return nil, errors.New("redisstore: NewRevocations keeps one list and has no use for WithKeyFunc; give it WithPrefix")
	case o.staleReads:
		return nil, errors.New("redisstore: NewRevocations is asked for what is new, which WithStaleReads could hide; leave it out")
	}
	prefix := DefaultPrefix
	if o.prefix != nil {
		prefix = *o.prefix
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
	return &Revocations{
		store: &Store{timeout: o.timeout, client: c},
		// In braces, so that a Cluster has both on one node.
		hash: prefix + "{revoked}", stream: prefix + "{revoked}:log",
		max: o.maxRevocations,
	}, nil
}

// swapScript takes the field, the old value, the new one behind its Until, for how many
// milliseconds it stays, and the limit; it answers the value that is there then.
//
// Each call that is to write looks at the four oldest entries of the stream, so that more is taken out
// than put in. An entry that the hash has written anew since stays in the hash. What
// is there is written over itself, so that whoever is told of it can wait for the
// replicas to have it (WithReplicas).
var swapScript = newScript(`
local hash, stream = KEYS[1], KEYS[2]
local field, old, new, life = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local there = redis.call('HGET', hash, field)
local value = there and there:sub(9) or ''
if there then
	redis.call('HSET', hash, field, there)
end
if value == new:sub(9) then
	if struct.unpack('>I8', there) >= struct.unpack('>I8', new) then
		return value
	end
elseif value ~= old then
	return value
end
local longest = redis.call('HGET', hash, 'longest')
longest = longest and struct.unpack('>I8', longest) or 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', 4)) do
	local id, data = entry[1], entry[2][2]
	if tonumber(id:match('^%d+')) + longest >= now then
		break
	end
	local key = data:sub(1, 24)
	if key ~= field and redis.call('HGET', hash, key) == data:sub(25) then
		redis.call('HDEL', hash, key)
	end
	redis.call('XDEL', stream, id)
end
if not there and redis.call('HLEN', hash) > tonumber(ARGV[5]) then
	return redis.error_reply('FULL the list has ' .. ARGV[5] .. ' entries')
end
if life > longest then
	redis.call('HSET', hash, 'longest', struct.pack('>I8', life))
end
redis.call('HSET', hash, field, new)
redis.call('XADD', stream, '*', 'e', field .. new)
return new:sub(9)
`)

// Swap implements [stores.RevocationList]. It is one round trip.
func (r *Revocations) Swap(ctx context.Context, old string, e stores.Revocation) (string, error) {
	if err := stores.CheckRevocation(old, e); err != nil {
		return "", err
	}
	millis, life, err := lifespan(e.Until)
	if err != nil {
		return "", err
	}
	field := e.Key.Hash()
	value := append(binary.BigEndian.AppendUint64(nil, millis), e.Value...)
	w := swapScript.onTwo(r.hash, r.stream, field[:], old, value, life, r.max)
	cmd, err := r.store.write(ctx, w)
	if err != nil {
		if redis.HasErrorPrefix(err, "FULL") {
			return "", fmt.Errorf("%w: raise redisstore.WithMaxRevocations or shorten the lifetime: %w", stores.ErrFull, err)
		}
		return "", err
	}
	return cmd.Text()
}

// Get implements [stores.RevocationList]. It is one round trip.
func (r *Revocations) Get(ctx context.Context, keys ...stores.Key) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := []any{"eval", "return redis.call('HMGET', KEYS[1], unpack(ARGV))", 1, r.hash}
	for _, key := range keys {
		field := key.Hash()
		args = append(args, field[:])
	}
	reply, err := r.read(ctx, redis.NewCmd(ctx, args...))
	if err != nil {
		return nil, err
	}
	values := make([]string, len(keys))
	for i := range min(len(reply), len(values)) {
		switch text := reply[i].(type) {
		case nil:
		case string:
			if len(text) <= 8 {
				return nil, errForeign(r.hash)
			}
			values[i] = text[8:]
		}
	}
	return values, nil
}

// sinceText is a script because no replica or cache answers one. It takes the ID after
// which to begin, and for how many entries it is asked.
const sinceText = `return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])`

// Since implements [stores.RevocationList]. It is one round trip.
func (r *Revocations) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	page := stores.RevocationPage{Next: after}
	from := "-"
	if after != "" {
		from = "(" + string(after)
	}
	reply, err := r.read(ctx, redis.NewCmd(ctx, "eval", sinceText, 1, r.stream, from, revocationsPage+1))
	if err != nil {
		return page, err
	}
	if page.More = len(reply) > revocationsPage; page.More {
		reply = reply[:revocationsPage]
	}
	page.Entries = make([]stores.Revocation, 0, len(reply))
	for _, one := range reply {
		id, e, ok := parseRevocation(one)
		if !ok {
			return stores.RevocationPage{}, errForeign(r.stream)
		}
		page.Entries = append(page.Entries, e)
		page.Next = stores.Cursor(id)
	}
	return page, nil
}

// parseRevocation reads one entry of the stream: its ID, and a field with its value.
func parseRevocation(one any) (id string, e stores.Revocation, ok bool) {
	pair, _ := one.([]any)
	if len(pair) != 2 {
		return "", e, false
	}
	id, _ = pair[0].(string)
	fields, _ := pair[1].([]any)
	if len(fields) != 2 {
		return "", e, false
	}
	data, _ := fields[1].(string)
	if id == "" || len(data) <= fieldSize+8 {
		return "", e, false
	}
	var hash [fieldSize]byte
	copy(hash[:], data)
	e.Key = stores.NewKey(hash)
	e.Until = time.UnixMilli(int64(binary.BigEndian.Uint64([]byte(data[fieldSize : fieldSize+8]))))
	e.Value = data[fieldSize+8:]
	return id, e, true
}

// read runs a script that changes nothing and answers a list.
func (r *Revocations) read(ctx context.Context, cmd *redis.Cmd) ([]any, error) {
	cmd.SetFirstKeyPos(3) // where a Cluster finds the key
	if err := r.store.read(ctx, r.store.client.do, cmd); err != nil {
		return nil, err
	}
	reply, err := cmd.Slice()
	if err != nil && err != redis.Nil {
		return nil, errForeign(r.hash)
	}
	return reply, nil
}
