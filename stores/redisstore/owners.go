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

// addEntryScript takes the session's key, the deadline in Unix milliseconds, the
// data, and after how many microseconds an entry may be an orphan. Of the others
// it looks at eight, wherever they are, removes those whose deadline is past, and
// of a long list returns those that are old enough to be orphans. The key lives
// until the latest deadline.
var addEntryScript = newScript(clockAndParts + `
local added, old = now, redis.call('HGET', KEYS[1], ARGV[1])
if old then
	local _, was = parts(old)
	added = was
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', added) .. ' ' .. ARGV[3])
if redis.call('PEXPIRETIME', KEYS[1]) < tonumber(ARGV[2]) then
	redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
local some, orphans = redis.call('HRANDFIELD', KEYS[1], 8, 'WITHVALUES'), {}
local long = redis.call('HLEN', KEYS[1]) > 16
for i = 1, #some, 2 do
	local deadline, added = parts(some[i + 1])
	if deadline * 1000 <= now then
		redis.call('HDEL', KEYS[1], some[i])
	elseif long and now - added > tonumber(ARGV[4]) then
		orphans[#orphans + 1] = some[i]
	end
end
return orphans
`)

// entriesScript takes after how many microseconds an entry may be an orphan. It
// returns the entries, each with whether it is so old, and removes those whose
// deadline is past. It is a script also because a Cluster client sends it to the
// primary: a replica may not have an entry that was just written.
var entriesScript = newScript(clockAndParts + `
local all = redis.call('HGETALL', KEYS[1])
local list = {}
for i = 1, #all, 2 do
	local deadline, added = parts(all[i + 1])
	if deadline * 1000 <= now then
		redis.call('HDEL', KEYS[1], all[i])
	else
		list[#list + 1] = all[i]
		list[#list + 1] = all[i + 1]
		list[#list + 1] = now - added > tonumber(ARGV[1]) and 'old' or ''
	end
end
return list
`)

// clockAndParts begins the scripts of the list. Times are in microseconds, and an
// entry's deadline in milliseconds. What is not an entry never ends, so that the
// reader sees it and says so.
const clockAndParts = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function parts(entry)
	local deadline, added = string.match(entry, '^(-?%d+) (%d+) ')
	return tonumber(deadline) or math.huge, tonumber(added) or now
end
`

// expiresScript answers when a record ends, in Unix milliseconds, less than zero
// where the key is not a session's, and -2 where there is none. Beside many
// records one that is none is no reason to fail.
const expiresScript = `
local mark = redis.pcall('GETRANGE', KEYS[1], 0, 15)
if type(mark) ~= 'string' then
	return -1
elseif mark == string.rep('\0', 16) then
	return -2
end
return redis.call('PEXPIRETIME', KEYS[1])
`

// noRecord is expiresScript's answer where there is no record.
const noRecord = -2

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

// AddEntry implements [stores.OwnerIndex]. It is one round trip. Of a list of more
// than 16 entries it looks whether some old ones still have their records, which
// takes up to two more.
func (s *Store) AddEntry(ctx context.Context, owner stores.OwnerKey, e stores.Entry) error {
	name, _ := s.ownerNames(owner)
	key, deadline, data := string(e.Key[:]), e.Deadline.UnixMilli(), string(e.Data)
	old, err := call(ctx, s, func(ctx context.Context) ([]string, error) {
		return addEntryScript.Run(ctx, s.client, []string{name}, key, deadline, data, stores.OrphanAge.Microseconds()).StringSlice()
	})
	if err != nil || len(old) == 0 {
		return err
	}
	var list []stores.Entry
	for _, field := range old {
		var e stores.Entry
		if copy(e.Key[:], field); len(field) == len(e.Key) {
			list = append(list, e)
		}
	}
	// The entry is there. What fails now is made up for by the next login.
	if ends, err := s.ends(ctx, list); err == nil {
		s.removeOrphans(ctx, name, list, ends, func(int) bool { return true })
	}
	return nil
}

// Entries implements [stores.OwnerIndex]. It is one round trip for the list, one
// for every 500 entries in it, and one for every 500 orphans in it.
func (s *Store) Entries(ctx context.Context, owner stores.OwnerKey) ([]stores.Entry, error) {
	name, _ := s.ownerNames(owner)
	reply, err := call(ctx, s, func(ctx context.Context) ([]string, error) {
		return entriesScript.Run(ctx, s.client, []string{name}, stores.OrphanAge.Microseconds()).StringSlice()
	})
	if err != nil {
		return nil, err
	}
	var list []stores.Entry
	var old []bool
	for triple := range slices.Chunk(reply, 3) {
		e, ok := parseEntry(triple)
		if !ok {
			return nil, verdict(answerForeign, name)
		}
		list, old = append(list, e), append(old, triple[2] != "")
	}
	ends, err := s.ends(ctx, list)
	if err != nil {
		return nil, err
	}
	return s.removeOrphans(ctx, name, list, ends, func(i int) bool { return old[i] }), nil
}

// ends returns what expiresScript says of each entry's record.
func (s *Store) ends(ctx context.Context, list []stores.Entry) (ends []int64, err error) {
	for batch := range slices.Chunk(list, ownerBatch) {
		cmds, err := s.pipeline(ctx, func(ctx context.Context, p redis.Pipeliner) {
			for _, e := range batch {
				p.Eval(ctx, expiresScript, []string{s.name(e.Key)})
			}
		})
		if err != nil {
			return nil, err
		}
		for _, cmd := range cmds {
			end, err := cmd.(*redis.Cmd).Int64()
			if err != nil {
				return nil, unexpected(cmd.(*redis.Cmd).Val())
			}
			ends = append(ends, end)
		}
	}
	return ends, nil
}

// removeOrphans returns the list without its orphans, with the expiry of each
// record, and removes them, as well as it can: who reads the list next does it
// again.
func (s *Store) removeOrphans(ctx context.Context, name string, list []stores.Entry, ends []int64, old func(int) bool) (kept []stores.Entry) {
	var orphans []string
	for i, e := range list {
		switch {
		case ends[i] > 0:
			e.Expires = time.UnixMilli(ends[i])
		case ends[i] == noRecord && old(i):
			orphans = append(orphans, string(e.Key[:]))
			continue
		}
		kept = append(kept, e)
	}
	for batch := range slices.Chunk(orphans, ownerBatch) {
		call(ctx, s, func(ctx context.Context) (int64, error) {
			return s.client.HDel(ctx, name, batch...).Result()
		})
	}
	return kept
}

// parseEntry reads a field of the list and its value: a session's key, and a
// deadline in Unix milliseconds, when it was added in Unix microseconds, and the
// data, with spaces between.
func parseEntry(pair []string) (e stores.Entry, ok bool) {
	if len(pair) < 2 || len(pair[0]) != len(e.Key) {
		return e, false
	}
	deadline, rest, _ := strings.Cut(pair[1], " ")
	added, data, ok := strings.Cut(rest, " ")
	ms, err := strconv.ParseInt(deadline, 10, 64)
	us, addedErr := strconv.ParseInt(added, 10, 64)
	copy(e.Key[:], pair[0])
	e.Data, e.Deadline, e.Added = []byte(data), time.UnixMilli(ms), time.UnixMicro(us)
	// As AddEntry writes them: the scripts don't read every number that ParseInt does.
	return e, ok && err == nil && addedErr == nil && us >= 0 &&
		strconv.FormatInt(ms, 10) == deadline && strconv.FormatInt(us, 10) == added
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
