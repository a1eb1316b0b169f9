package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// An owner's list is a hash. A field is the 24 bytes of a session's key, its
// value
//
//	8 bytes    the entry's Number
//	8 bytes    its Expires: Unix milliseconds
//	8 bytes    when it was written: Unix microseconds by the server's clock
//	8 bytes    when it may be dropped: likewise
//	the rest   its Data
//
// all numbers big endian, and the field "n" has the greatest Number that was
// given, in 8 bytes. The scripts have these sizes too.
const (
	fieldSize     = 24
	entryHeadSize = 32
	lastField     = "n"

	maxNumber = 1 << 53 // see addEntryScript
)

// list returns the name of the Redis key of an owner's list. Prefix, function and
// hash tag hold for it too.
func (s *Store) list(owner stores.Key) string { return s.name(owner) + ":owner" }

// addEntryScript takes the field, the number or 0 to ask for one, the expiry, for
// how many milliseconds the entry lives, and the data; it answers the number.
//
// A number that it gives is no less than the microseconds since 1970, so that
// numbers don't begin again after a list has vanished, and greater than the last
// one, in case the server's clock went back. They stay below 2^53, which is all
// that Lua's numbers can tell apart.
//
// Of the other entries it looks at eight, wherever they are, and drops those that
// are past: so of an owner who keeps logging in no more than about an eighth can
// be. The list lives as long as its last entry.
var addEntryScript = newScript(`
local key, field, number, life = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last, old = redis.call('HGET', key, 'n'), redis.call('HGET', key, field)
last = last and struct.unpack('>I8', last) or 0
if number == 0 then
	number = old and struct.unpack('>I8', old) or math.max(last + 1, now)
end
local some = redis.call('HRANDFIELD', key, 8, 'WITHVALUES')
for i = 1, #some, 2 do
	if #some[i] == 24 and struct.unpack('>I8', some[i + 1], 25) <= now then
		redis.call('HDEL', key, some[i])
	end
end
redis.call('HSET', key,
	field, struct.pack('>I8I8I8I8', number, ARGV[3], now, now + life * 1000) .. ARGV[5],
	'n', struct.pack('>I8', math.max(last, number)))
redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), life))
return number
`)

// entriesText answers the fields and values, and at last the server's time in
// microseconds. It is a script because no replica or cache answers one: a
// replica may not have an entry that was just written.
const entriesText = `
local list, time = redis.call('HGETALL', KEYS[1]), redis.call('TIME')
list[#list + 1] = string.format('%.0f', time[1] * 1000000 + time[2])
return list
`

// AddEntry implements [stores.OwnerIndex]. It is one round trip.
func (s *Store) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	millis, life, err := lifespan(e.Expires)
	if err != nil {
		return 0, err
	}
	if e.Number >= maxNumber {
		return 0, fmt.Errorf("%w: the entry's Number is none that this index gave", stores.ErrInvalidRecord)
	}
	field := e.Key.Hash()
	w := addEntryScript.on(s.list(owner), field[:], e.Number, millis, life, string(e.Data))
	cmd, err := s.write(ctx, w)
	if err != nil {
		return 0, err
	}
	return cmd.Uint64()
}

// Entries implements [stores.OwnerIndex]. It is one round trip.
func (s *Store) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	name := s.list(owner)
	cmd := redis.NewCmd(ctx, "eval", entriesText, 1, name)
	cmd.SetFirstKeyPos(3) // where a Cluster finds the key
	if err := s.read(ctx, s.client.do, cmd); err != nil {
		return nil, err
	}
	reply, err := cmd.StringSlice()
	if err != nil || len(reply)%2 == 0 {
		return nil, errForeign(name)
	}
	at, err := strconv.ParseInt(reply[len(reply)-1], 10, 64)
	if err != nil {
		return nil, errForeign(name)
	}
	var list []stores.Entry
	for pair := range slices.Chunk(reply[:len(reply)-1], 2) {
		if pair[0] == lastField {
			continue
		}
		e, ok := parseEntry(pair[0], pair[1], at)
		if !ok {
			return nil, errForeign(name)
		}
		if time.Now().Before(e.Expires) {
			list = append(list, e)
		}
	}
	return list, nil
}

// parseEntry reads a field and its value, at a time of the server's clock.
func parseEntry(field, value string, at int64) (e stores.Entry, ok bool) {
	if len(field) != fieldSize || len(value) < entryHeadSize {
		return e, false
	}
	head := []byte(value[:entryHeadSize])
	number, expires, written := binary.BigEndian.Uint64(head), binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint64(head[16:])
	return stores.Entry{
		Key:     stores.NewKey([fieldSize]byte([]byte(field))),
		Number:  number,
		Expires: time.UnixMilli(int64(expires)),
		Age:     max(time.Duration(at-int64(written))*time.Microsecond, 0), // the clock may have gone back
		Data:    []byte(value[entryHeadSize:]),
	}, number < maxNumber && expires < maxMillis && written < maxNumber
}

// RemoveEntries implements [stores.OwnerIndex]. It is one round trip for every 500
// keys. The time limit is for each of them.
func (s *Store) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	for batch := range slices.Chunk(keys, batchSize) {
		args := []any{"hdel", s.list(owner)}
		for _, key := range batch {
			field := key.Hash()
			args = append(args, field[:])
		}
		if _, err := s.write(ctx, write{args: args, lonely: true}); err != nil {
			return err
		}
	}
	return nil
}
