package envelope

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Split takes a record apart. It fails with [ErrMalformed] on whatever [Join]
// would not have written, so that one Envelope has one spelling: what Split
// accepts, Join writes back byte for byte.
//
// The values, Marks, Epochs and the Data of Extra share memory with data, which must not be
// changed any more; the strings share none.
func Split(data []byte) (Envelope, error) {
	var env Envelope
	rest, err := splitMetadata(data, &env.Metadata)
	if err != nil {
		return Envelope{}, err
	}
	count, rest, err := cutUvarint(rest)
	if err != nil {
		return Envelope{}, err
	}
	if env.Values, err = splitValues(count, rest); err != nil {
		return Envelope{}, err
	}
	return env, nil
}

func splitMetadata(data []byte, md *Metadata) (rest []byte, err error) {
	if len(data) == 0 {
		return nil, malformed("empty")
	}
	if data[0] != version {
		return nil, malformed("unknown version")
	}
	created, rest, err := cutUvarint(data[1:])
	if err != nil {
		return nil, err
	}
	lifetime, rest, err := cutUvarint(rest)
	if err != nil {
		return nil, err
	}
	if created > uint64(maxMillis) || lifetime > uint64(maxMillis)-created {
		return nil, malformed("time out of range")
	}
	md.Created = time.UnixMilli(int64(created)).UTC()
	md.Deadline = time.UnixMilli(int64(created + lifetime)).UTC()
	if md.Generation, rest, err = cutUvarint(rest); err != nil {
		return nil, err
	}
	fields, rest, err := cutSized(rest)
	if err != nil {
		return nil, err
	}
	return rest, splitFields(fields, md, int64(created))
}

func splitFields(fields []byte, md *Metadata, created int64) error {
	var last byte // 0 is no field's tag
	for len(fields) > 0 {
		tag := fields[0]
		if tag <= last {
			return malformed("fields out of order or twice")
		}
		last = tag
		data, rest, err := cutSized(fields[1:])
		if err != nil {
			return err
		}
		fields = rest
		if tag >= firstExtra {
			md.Extra = append(md.Extra, Field{Tag: tag, Data: data})
			continue
		}
		if len(data) == 0 {
			return malformed("empty field")
		}
		switch tag {
		case tagAuthenticated:
			md.Authenticated, err = readTime(data, created)
		case tagOwner:
			md.Owner = string(data)
		case tagLabel:
			md.Label = string(data)
		case tagIdle:
			md.Idle, err = readDuration(data)
		case tagSealed:
			md.Sealed, err = readTime(data, created)
		case tagExpires:
			md.Expires, err = readTime(data, created)
		case tagRevision:
			md.Revision = string(data)
		case tagMarks:
			md.Marks, err = readMarks(data)
		case tagPersistent:
			if md.Persistent = Persistence(data[0]); len(data) != 1 || md.Persistent == 0 || md.Persistent > Persist {
				err = malformed("unknown persistence")
			}
		case tagOwnIdle:
			md.OwnIdle, err = readDuration(data)
		case tagEpochs:
			md.Epochs = data
		case tagLatest:
			md.Latest, err = readTime(data, created)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readTime(data []byte, created int64) (time.Time, error) {
	offset, n := binary.Varint(data)
	if err := checkVarint(data, n); err != nil {
		return time.Time{}, err
	}
	if n != len(data) {
		return time.Time{}, malformed("bytes after a number")
	}
	if offset < -created || offset > maxMillis-created {
		return time.Time{}, malformed("time out of range")
	}
	return time.UnixMilli(created + offset).UTC(), nil
}

func readDuration(data []byte) (time.Duration, error) {
	ms, rest, err := cutUvarint(data)
	if err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		return 0, malformed("bytes after a number")
	}
	if ms == 0 || ms > uint64(maxMillis) {
		return 0, malformed("duration out of range")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// cutSized cuts a length and as many bytes off b. The result has no capacity
// beyond its bytes, so that appending to one value can't overwrite the next.
func cutSized(b []byte) (data, rest []byte, err error) {
	n, b, err := cutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(b)) {
		return nil, nil, malformed("length beyond the end")
	}
	return b[:n:n], b[n:], nil
}

func cutUvarint(b []byte) (x uint64, rest []byte, err error) {
	if len(b) > 0 && b[0] < 0x80 { // as almost every length is
		return uint64(b[0]), b[1:], nil
	}
	x, n := binary.Uvarint(b)
	if err := checkVarint(b, n); err != nil {
		return 0, nil, err
	}
	return x, b[n:], nil
}

// checkVarint judges what binary.Uvarint or binary.Varint said of b. They
// accept numbers padded with zero bytes, which would give one record several
// spellings.
func checkVarint(b []byte, n int) error {
	switch {
	case n == 0:
		return malformed("cut off")
	case n < 0:
		return malformed("number over 64 bits")
	case n > 1 && b[n-1] == 0:
		return malformed("number longer than needed")
	}
	return nil
}

func malformed(reason string) error {
	return fmt.Errorf("%w: %s", ErrMalformed, reason)
}
