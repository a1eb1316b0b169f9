package redisstore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// A value is
//
//	16 bytes   mark: the record's Revision
//	 8 bytes   expiry: Unix milliseconds, big endian
//	the rest   the sealed record
//
// The scripts have these numbers too. A mark is the expiry at which it was written (6
// bytes) and random (10). A touch moves the expiry on and leaves the mark as it is; so
// whoever has a mark knows how long the record lives at least, without a look at it.
const (
	markSize = 16
	headSize = markSize + 8
	endSize  = 6 // of the expiry in a mark, which is below 1<<48
)

// maxMillis is beyond every expiry, in the year 10889. A text that some other
// program left has more in these 8 bytes.
const maxMillis = 1 << 48

// lifespan returns an expiry, and for how many milliseconds a key lives that is
// written now.
//
// The expiry is a point in time by the clocks of the machines that load, but the
// key's life begins when the server gets it: so a server whose clock is wrong
// neither drops what it is given to keep nor keeps it for longer. A life is
// never zero, since Redis takes that for an error.
func lifespan(expires time.Time) (millis uint64, life int64, err error) {
	if err := stores.CheckExpires(stores.Record{Expires: expires}); err != nil {
		return 0, 0, err
	}
	at := expires.UnixMilli()
	if at >= maxMillis {
		return 0, 0, fmt.Errorf("%w: it expires after the year 10000", stores.ErrInvalidRecord)
	}
	return uint64(at), max(at-time.Now().UnixMilli(), 1), nil
}

// newValue returns the value of a write, and its life.
func newValue(rec stores.Record) (value []byte, life int64, err error) {
	millis, life, err := lifespan(rec.Expires)
	if err != nil {
		return nil, 0, err
	}
	value = make([]byte, headSize, headSize+len(rec.Data))
	rand.Read(value[endSize:markSize]) // never fails: crypto/rand aborts the program instead
	binary.BigEndian.PutUint64(value[markSize:], millis)
	copy(value, value[headSize-endSize:])
	return append(value, rec.Data...), life, nil
}

// revisionOf returns the revision that a value has.
func revisionOf(value []byte) stores.Revision { return stores.Revision(value[:markSize]) }

// outlives tells that a record at this revision, if there is one, has not expired at a
// time in Unix milliseconds. Otherwise only the record can tell.
func outlives(rev stores.Revision, now int64) bool {
	if len(rev) != markSize {
		return false
	}
	var millis [8]byte
	copy(millis[8-endSize:], rev)
	return int64(binary.BigEndian.Uint64(millis[:])) > now
}

// parseReply returns the record that a get has found under the key called name.
func parseReply(cmd *redis.StringCmd, name string) (stores.Record, error) {
	value, err := cmd.Bytes() // nobody else has them
	if err == redis.Nil {
		return stores.Record{}, stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, fmt.Errorf("%w: redis: %w", stores.ErrUnavailable, err)
	}
	return parse(value, name)
}

// parse returns the record in the value of the key called name. It keeps value.
func parse(value []byte, name string) (stores.Record, error) {
	if len(value) < headSize {
		return stores.Record{}, errForeign(name)
	}
	millis := binary.BigEndian.Uint64(value[markSize:headSize])
	if millis == 0 || millis >= maxMillis {
		return stores.Record{}, errForeign(name)
	}
	expires := time.UnixMilli(int64(millis))
	if !time.Now().Before(expires) {
		return stores.Record{}, stores.ErrNotFound
	}
	return stores.Record{
		Data:     value[headSize:],
		Expires:  expires,
		Revision: stores.Revision(value[:markSize]),
	}, nil
}
