package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

var _ stores.OwnerIndex = (*Store)(nil)

// ownerBatch is how many of an owner's sessions one round trip is for: few
// enough that it is over within a small part of the time limit.
const ownerBatch = 500

// ownerNames returns the names of the keys of an owner: as if the owner's hash
// were a session's, so that prefix, function and hash tag hold for them too.
func (s *Store) ownerNames(owner stores.OwnerKey) (list, epoch string) {
	name := s.name(stores.Key(owner))
	return name + ":owner", name + ":epoch"
}

// addEntryScript takes the session's key, the deadline in Unix milliseconds and
// the data. Of the others it looks at eight, wherever they are, and removes those
// whose deadline is past: so of an owner who keeps logging in no more than about
// an eighth can be past. The key lives until the latest deadline.
var addEntryScript = newScript(nowAndEnds + `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
if redis.call('PEXPIRETIME', KEYS[1]) < tonumber(ARGV[2]) then
	redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
local some = redis.call('HRANDFIELD', KEYS[1], 8, 'WITHVALUES')
for i = 1, #some, 2 do
	if ends(some[i + 1]) <= now then
		redis.call('HDEL', KEYS[1], some[i])
	end
end
return 'ok'
`)

// entriesScript returns the entries, and removes those whose deadline is past.
// It is a script also because a Cluster client sends it to the primary: a
// replica may not have an entry that was just written.
var entriesScript = newScript(nowAndEnds + `
local all = redis.call('HGETALL', KEYS[1])
local list = {}
for i = 1, #all, 2 do
	if ends(all[i + 1]) <= now then
		redis.call('HDEL', KEYS[1], all[i])
	else
		list[#list + 1] = all[i]
		list[#list + 1] = all[i + 1]
	end
end
return list
`)

const nowAndEnds = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ends(entry)
	return tonumber(string.match(entry, '^(-?%d+) ')) or math.huge
end
`

// expiresScript answers when a record ends, in Unix milliseconds, or less than
// zero where there is none. Beside many records one that is none is no reason to
// fail.
const expiresScript = `
local mark = redis.pcall('GETRANGE', KEYS[1], 0, 15)
if type(mark) ~= 'string' or mark == string.rep('\0', 16) then
	return -2
end
return redis.call('PEXPIRETIME', KEYS[1])
`

// epochScript reads from the primary.
var epochScript = newScript(`return redis.call('GET', KEYS[1])`)

// newEpochScript takes random text and for how many milliseconds the epoch is
// kept. It counts too, so that a repetition after a lost reply does not bring
// back an epoch that another has ended meanwhile.
var newEpochScript = newScript(`
local count = string.match(redis.call('GET', KEYS[1]) or '', '^%d+') or '0'
redis.call('SET', KEYS[1], string.format('%d', count + 1) .. '.' .. ARGV[1], 'PX', ARGV[2])
return 'ok'
`)

// AddEntry implements [stores.OwnerIndex]. It is one round trip.
func (s *Store) AddEntry(ctx context.Context, owner stores.OwnerKey, e stores.Entry) error {
	name, _ := s.ownerNames(owner)
	return s.run(ctx, addEntryScript, name, string(e.Key[:]), e.Deadline.UnixMilli(), string(e.Data))
}

// Entries implements [stores.OwnerIndex]. It is one round trip for the list, and
// one for every 500 entries in it.
func (s *Store) Entries(ctx context.Context, owner stores.OwnerKey) ([]stores.Entry, error) {
	name, _ := s.ownerNames(owner)
	reply, err := call(ctx, s, func(ctx context.Context) ([]string, error) {
		return entriesScript.Run(ctx, s.client, []string{name}).StringSlice()
	})
	if err != nil {
		return nil, err
	}
	var list []stores.Entry
	for pair := range slices.Chunk(reply, 2) {
		e, ok := parseEntry(pair)
		if !ok {
			return nil, verdict(answerForeign, name)
		}
		list = append(list, e)
	}
	for batch := range slices.Chunk(list, ownerBatch) {
		cmds, err := s.pipeline(ctx, func(ctx context.Context, p redis.Pipeliner) {
			for _, e := range batch {
				p.Eval(ctx, expiresScript, []string{s.name(e.Key)})
			}
		})
		if err != nil {
			return nil, err
		}
		for i, cmd := range cmds {
			ends, err := cmd.(*redis.Cmd).Int64()
			if err != nil {
				return nil, unexpected(cmd.(*redis.Cmd).Val())
			}
			if ends > 0 {
				batch[i].Expires = time.UnixMilli(ends)
			}
		}
	}
	return list, nil
}

// parseEntry reads a field of the list and its value: a session's key, and a
// deadline in Unix milliseconds, a space and the data.
func parseEntry(pair []string) (e stores.Entry, ok bool) {
	if len(pair) != 2 || len(pair[0]) != len(e.Key) {
		return e, false
	}
	deadline, data, ok := strings.Cut(pair[1], " ")
	ms, err := strconv.ParseInt(deadline, 10, 64)
	copy(e.Key[:], pair[0])
	e.Data, e.Deadline = []byte(data), time.UnixMilli(ms)
	// As AddEntry writes it: the scripts don't read every number that ParseInt does.
	return e, ok && err == nil && strconv.FormatInt(ms, 10) == deadline
}

// RemoveOwned implements [stores.OwnerIndex]. It is two round trips for every 500
// keys: one removes the records, and one the entries. The time limit is for each.
func (s *Store) RemoveOwned(ctx context.Context, owner stores.OwnerKey, keys ...stores.Key) error {
	name, _ := s.ownerNames(owner)
	for batch := range slices.Chunk(slices.Clone(keys), ownerBatch) {
		var fields []string
		for _, key := range batch {
			fields = append(fields, string(key[:]))
		}
		_, err := s.pipeline(ctx, func(ctx context.Context, p redis.Pipeliner) {
			for _, key := range batch {
				p.Unlink(ctx, s.name(key)) // one each: in a Cluster they are on different nodes
			}
		})
		if err == nil {
			_, err = call(ctx, s, func(ctx context.Context) (int64, error) {
				return s.client.HDel(ctx, name, fields...).Result()
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Epoch implements [stores.OwnerIndex]. It is one round trip.
func (s *Store) Epoch(ctx context.Context, owner stores.OwnerKey) (string, error) {
	_, name := s.ownerNames(owner)
	epoch, err := call(ctx, s, func(ctx context.Context) (string, error) {
		return epochScript.Run(ctx, s.client, []string{name}).Text()
	})
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return epoch, err
}

// NewEpoch implements [stores.OwnerIndex]. It is one round trip.
func (s *Store) NewEpoch(ctx context.Context, owner stores.OwnerKey) error {
	_, name := s.ownerNames(owner)
	return s.run(ctx, newEpochScript, name, rand.Text(), stores.MinEpochAge.Milliseconds())
}

// pipeline sends what fill queues in one round trip for each node. It fails if
// one of the commands does.
func (s *Store) pipeline(ctx context.Context, fill func(context.Context, redis.Pipeliner)) ([]redis.Cmder, error) {
	return call(ctx, s, func(ctx context.Context) ([]redis.Cmder, error) {
		return s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			fill(ctx, p)
			return nil
		})
	})
}
