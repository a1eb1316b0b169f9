package envelope

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Join appends the record that holds env to dst, which must not overlap env's
// slices. It fails with [ErrInvalid], and returns nil, where env breaks a rule
// of [Metadata]. docs/format.md gives the bytes.
func Join(dst []byte, env Envelope) ([]byte, error) {
	dst, err := appendMetadata(slices.Grow(dst, sizeBound(&env)), &env.Metadata)
	if err != nil {
		return nil, err
	}
	dst = binary.AppendUvarint(dst, uint64(env.Values.count))
	return append(dst, env.Values.block...), nil
}

func appendMetadata(dst []byte, md *Metadata) ([]byte, error) {
	created, err := millis("Created", md.Created)
	if err != nil {
		return nil, err
	}
	deadline, err := millis("Deadline", md.Deadline)
	if err != nil {
		return nil, err
	}
	if deadline < created {
		return nil, fmt.Errorf("%w: Deadline is before Created", ErrInvalid)
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(created))
	dst = binary.AppendUvarint(dst, uint64(deadline-created))
	dst = binary.AppendUvarint(dst, md.Generation)

	start := len(dst)
	if dst, err = appendFields(dst, md, created); err != nil {
		return nil, err
	}
	// The length goes in front. Moving the fields, which are a few bytes, is
	// simpler than computing their length beforehand.
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(dst)-start))
	return slices.Insert(dst, start, length[:n]...), nil
}

func appendFields(dst []byte, md *Metadata, created int64) ([]byte, error) {
	dst, err := appendTime(dst, tagAuthenticated, "Authenticated", md.Authenticated, created)
	if err != nil {
		return nil, err
	}
	dst = appendText(dst, tagOwner, md.Owner)
	dst = appendText(dst, tagLabel, md.Label)
	if dst, err = appendDuration(dst, tagIdle, "Idle", md.Idle); err != nil {
		return nil, err
	}
	if dst, err = appendTime(dst, tagSealed, "Sealed", md.Sealed, created); err != nil {
		return nil, err
	}
	if dst, err = appendTime(dst, tagExpires, "Expires", md.Expires, created); err != nil {
		return nil, err
	}
	dst = appendText(dst, tagRevision, md.Revision)
	if dst, err = appendMarks(dst, md.Marks); err != nil {
		return nil, err
	}
	if md.Persistent > Persist {
		return nil, fmt.Errorf("%w: Persistent is none of its values", ErrInvalid)
	} else if md.Persistent != 0 {
		dst = appendField(dst, tagPersistent, []byte{byte(md.Persistent)})
	}
	if dst, err = appendDuration(dst, tagOwnIdle, "OwnIdle", md.OwnIdle); err != nil {
		return nil, err
	}

	if len(md.Epochs) > 0 {
		dst = appendField(dst, tagEpochs, md.Epochs)
	}
	if dst, err = appendTime(dst, tagLatest, "Latest", md.Latest, created); err != nil {
		return nil, err
	}

	last := firstExtra - 1
	for i, f := range md.Extra {
		if f.Tag <= last {
			return nil, fmt.Errorf("%w: the tag of Extra field %d is below %d, out of order or a duplicate", ErrInvalid, i, firstExtra)
		}
		last = f.Tag
		dst = appendField(dst, f.Tag, f.Data)
	}
	return dst, nil
}

// appendTime writes t as signed milliseconds after created. Signed also for
// times that come after it: they may be another machine's, whose clock is
// behind, and a save must not fail for that.
func appendTime(dst []byte, tag byte, name string, t time.Time, created int64) ([]byte, error) {
	if t.IsZero() {
		return dst, nil
	}
	ms, err := millis(name, t)
	if err != nil {
		return nil, err
	}
	var buf [binary.MaxVarintLen64]byte
	n := binary.PutVarint(buf[:], ms-created)
	return appendField(dst, tag, buf[:n]), nil
}

func appendDuration(dst []byte, tag byte, name string, d time.Duration) ([]byte, error) {
	if d == 0 {
		return dst, nil
	}
	// Rounded down, less than a millisecond would become "none".
	if d < time.Millisecond {
		return nil, fmt.Errorf("%w: %s is negative or less than a millisecond", ErrInvalid, name)
	}
	var buf [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(buf[:], uint64(d/time.Millisecond))
	return appendField(dst, tag, buf[:n]), nil
}

func appendText(dst []byte, tag byte, text string) []byte {
	if text == "" {
		return dst
	}
	return appendField(dst, tag, text)
}

func appendField[T string | []byte](dst []byte, tag byte, data T) []byte {
	return appendSized(append(dst, tag), data)
}

func appendSized[T string | []byte](dst []byte, data T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

func millis(name string, t time.Time) (int64, error) {
	if t.Before(earliest) || t.After(latest) {
		return 0, fmt.Errorf("%w: %s is not set, or not between 1970 and 2262", ErrInvalid, name)
	}
	return t.UnixMilli(), nil
}

// sizeBound returns at least the length of the record, so that Join grows dst
// once. It is exact but for the numbers in the metadata.
func sizeBound(env *Envelope) int {
	size := 128 + len(env.Values.block) + len(env.Owner) + len(env.Label) + len(env.Revision) + len(env.Marks) + len(env.Epochs)
	for _, f := range env.Extra {
		size += 1 + sizedLen(len(f.Data))
	}
	return size
}

func sizedLen(n int) int { return (bits.Len(uint(n)|1)+6)/7 + n }
