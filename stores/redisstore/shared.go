package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// Shared is a [stores.Server] of values that another system writes too: a value is
// the record and nothing else, and ends with its key. A [stores.ForeignKey]'s name is
// in the clear in the names of keys. The packages of interop make one; most users
// won't need it. It is safe for concurrent use, and the zero Shared is not usable.
//
// An empty value and an empty JSON object are no record. The end of a record can't
// be written over it, where the other system would read it: the key is deleted, and
// what is to be remembered lies for a while under a key beside it, which begins with
// the record's name, in braces where it has none, and ends with ":bulla". While that is
// there, what the other system writes under the old name is not read.
//
// The revision is the value's SHA-1, which is all that a script can compute of what
// somebody else wrote; so a caller's values must differ with each write.
type Shared struct {
	store   *Store
	forever time.Duration
}

var (
	_ stores.Server  = (*Shared)(nil)
	_ stores.Toucher = (*Shared)(nil)
)

// NewShared returns a server of shared values; see [New] for the client. A key that
// the other system has left without an expiry counts as one that lives for as long as
// forever says. prefix begins every key, unless [WithPrefix] or [WithKeyFunc] says
// otherwise; [WithStaleReads] is refused, since a value here does not say how old it is,
// and so is a name with braces that a Cluster does not take for a hash tag.
func NewShared(client redis.UniversalClient, prefix string, forever time.Duration, opts ...Option) (*Shared, error) {
	var o options
	if err := o.set(opts); err != nil {
		return nil, err
	}
	switch {
	case o.staleReads:
		return nil, errors.New("redisstore: WithStaleReads can't be combined with values that another system writes; leave it out")
	case forever <= 0:
		return nil, fmt.Errorf("redisstore: a key without expiry can't count as one that lives for %v; give a positive time", forever)
	}
	if o.prefix == nil && o.keyFunc == nil {
		opts = append(opts[:len(opts):len(opts)], WithPrefix(prefix))
	}
	s, err := New(client, opts...)
	if err != nil {
		return nil, err
	}
	if name := s.name(stores.ForeignKey(strings.Repeat("0", 32))); strings.Contains(name, "}") && !tagged(name) {
		return nil, fmt.Errorf("redisstore: of keys such as %q a Cluster has no other on the same node; make the braces in the prefix or the function a hash tag, as {app}, or take them out", name)
	}
	return &Shared{s, forever}, nil
}

// stubPrefix is how the manager's note of an end begins.
const stubPrefix = "\x00bulla stub\x00"

// IsEnd tells whether what was loaded is the note of an end, and no record.
func (s *Shared) IsEnd(data []byte) bool { return strings.HasPrefix(string(data), stubPrefix) }

// sharedState begins the scripts: what there is, and its revision. KEYS[1] has the
// record, KEYS[2] the note of its end.
const sharedState = `
local function state()
	local note = redis.call('GET', KEYS[2])
	if note then
		return note, '!' .. redis.sha1hex(note), redis.call('PTTL', KEYS[2])
	end
	local value = redis.call('GET', KEYS[1])
	if not value or value == '' or value == '{}' then
		return false, '', 0
	end
	return value, redis.sha1hex(value), redis.call('PTTL', KEYS[1])
end
`

const sharedLoadText = sharedState + `
local value, revision, life = state()
if not value then
	return false
end
return {value, revision, life}
`

// sharedWriteScript takes the revision to be replaced or "*", the value, its life, and
// whether it is the note of an end. Who is out of memory can still write after a DEL.
var sharedWriteScript = newScript(sharedState + `
if ARGV[1] ~= '*' then
	local _, revision = state()
	if revision ~= ARGV[1] then
		return false
	end
end
local name, mark = KEYS[1], ''
if ARGV[4] == '1' then
	name, mark = KEYS[2], '!'
	redis.call('DEL', KEYS[1])
else
	redis.call('DEL', KEYS[2])
end
if redis.call('STRLEN', name) >= #ARGV[2] then
	redis.call('DEL', name)
end
redis.call('SET', name, ARGV[2], 'PX', ARGV[3])
return mark .. redis.sha1hex(ARGV[2])
`)

// sharedTouchScript takes the revision and a life.
var sharedTouchScript = newScript(sharedState + `
local _, revision, life = state()
if revision == '' or revision ~= ARGV[1] then
	return false
end
if tonumber(ARGV[2]) > life then
	redis.call('PEXPIRE', revision:sub(1, 1) == '!' and KEYS[2] or KEYS[1], ARGV[2])
end
return 1
`)

// names returns the names of a record's key and of that beside it, which a Cluster
// must have on the same node.
func (s *Shared) names(key stores.Key) (name, beside string) {
	name = s.store.name(key)
	if tagged(name) {
		return name, name + ":bulla"
	}
	return name, "{" + name + "}:bulla"
}

// tagged tells whether a Cluster looks at a part of the name alone: at what is between
// the first "{" and the first "}" after it, if there is something.
func tagged(name string) bool {
	_, tag, ok := strings.Cut(name, "{")
	return ok && strings.Index(tag, "}") > 0
}

// on is the command of a script on a record.
func (s *Shared) on(script *script, key stores.Key, args ...any) write {
	name, beside := s.names(key)
	return script.onTwo(name, beside, args...)
}

// Load implements [stores.Server]. It is one round trip, to the primary.
func (s *Shared) Load(ctx context.Context, key stores.Key, _ stores.Freshness) (stores.Record, error) {
	name, beside := s.names(key)
	cmd := redis.NewSliceCmd(ctx, "eval", sharedLoadText, 2, name, beside)
	cmd.SetFirstKeyPos(3) // where a Cluster finds the key
	if err := s.store.read(ctx, s.store.client.do, cmd); err != nil {
		return stores.Record{}, err
	}
	reply, err := cmd.Result()
	if err == redis.Nil {
		return stores.Record{}, stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, err)
	}
	if len(reply) == 3 {
		value, ok := reply[0].(string)
		rev, good := reply[1].(string)
		life, fine := reply[2].(int64)
		if life < 0 { // the other system has set none
			life = s.forever.Milliseconds()
		}
		if ok && good && fine && life > 0 {
			return stores.Record{
				Data: []byte(value), Revision: stores.Revision(rev),
				Expires: time.Now().Add(time.Duration(life) * time.Millisecond),
			}, nil
		}
		if life == 0 { // its last millisecond
			return stores.Record{}, stores.ErrNotFound
		}
	}
	return stores.Record{}, fmt.Errorf("%w: redis answered something else than a record", stores.ErrUnavailable)
}

// Save implements [stores.Server]. It is one round trip.
func (s *Shared) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	return s.write(ctx, key, string(rec.Revision), rec)
}

// Put implements [stores.Server]. It is one round trip.
func (s *Shared) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	_, err := s.write(ctx, key, "*", rec)
	return err
}

func (s *Shared) write(ctx context.Context, key stores.Key, rev string, rec stores.Record) (stores.Revision, error) {
	_, life, err := lifespan(rec.Expires)
	if err != nil {
		return "", err
	}
	ends := 0
	if s.IsEnd(rec.Data) {
		ends = 1
	}
	cmd, err := s.store.write(ctx, s.on(&sharedWriteScript, key, rev, rec.Data, life, ends))
	if err != nil {
		return "", err
	}
	text, err := cmd.Text()
	if err != nil {
		return "", fmt.Errorf("%w: redis answered something else than a revision", stores.ErrUnavailable)
	}
	return stores.Revision(text), nil
}

// Touch implements [stores.Toucher]. It is one round trip, and the revision stays the
// same. A key without expiry gets one.
func (s *Shared) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	_, life, err := lifespan(expires)
	if err != nil {
		return "", err
	}
	w := s.on(&sharedTouchScript, key, string(rev), life)
	w.lonely = true
	if _, err := s.store.write(ctx, w); err != nil {
		return "", err
	}
	return rev, nil
}

// sharedRetireScript takes a life.
var sharedRetireScript = newScript(`
local life = redis.call('PTTL', KEYS[1])
if life == -1 or life > tonumber(ARGV[1]) then
	redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
`)

// Retire lets a record live for d at most, from now: one that has moved elsewhere. It
// never lengthens a life, and where there is no record it does nothing.
func (s *Shared) Retire(ctx context.Context, key stores.Key, d time.Duration) error {
	_, err := s.store.write(ctx, s.on(&sharedRetireScript, key, max(d.Milliseconds(), 1)))
	return err
}
