package envelope

import (
	"encoding/binary"
	"fmt"
	"time"
)

// MaxMarks is how many marks a record carries at most.
const MaxMarks = 64

// MarkLife is how long a mark stays in the record. A commit looks for its own
// for some seconds; the rest is for machines whose clocks differ.
const MarkLife = 5 * time.Minute

const (
	writerSize = 8
	countSize  = 4
	timeSize   = 6 // of Unix milliseconds
	markSize   = writerSize + countSize + timeSize
)

// Mark names one commit: who writes, drawn at random when a process starts, and
// the count of its commits.
type Mark struct {
	Writer [writerSize]byte
	Count  uint32
}

// Marks are the last marks of everybody who wrote a record within [MarkLife],
// newest first, in the form that a record has them. A commit whose reply was
// lost finds its own there and knows that it was carried out. They are immutable;
// nil is none.
type Marks []byte

// Has tells whether m is among the marks.
func (ms Marks) Has(m Mark) bool {
	for i := 0; i < len(ms); i += markSize {
		if [writerSize]byte(ms[i:]) == m.Writer {
			return binary.BigEndian.Uint32(ms[i+writerSize:]) == m.Count
		}
	}
	return false
}

// With returns the marks with m in front. The writer's earlier mark goes, since
// its commits of one session go one after the other, and so do marks that are
// older than [MarkLife].
func (ms Marks) With(m Mark, now time.Time) Marks {
	all := make(Marks, 0, min(len(ms)+markSize, MaxMarks*markSize))
	all = append(all, m.Writer[:]...)
	all = binary.BigEndian.AppendUint32(all, m.Count)
	at := max(now.UnixMilli(), 0)
	all = append(all, byte(at>>40), byte(at>>32), byte(at>>24), byte(at>>16), byte(at>>8), byte(at))
	for i := 0; i < len(ms) && len(all) < MaxMarks*markSize; i += markSize {
		one := ms[i : i+markSize]
		if [writerSize]byte(one) != m.Writer && at-one.millis() < MarkLife.Milliseconds() {
			all = append(all, one...)
		}
	}
	return all
}

// Follows tells whether the absence of a mark proves that its commit was not
// carried out: whether ms, found where before was read earlier, still has all that
// was written between. A list that is full may have lost some, unless it shares a
// writer's mark with before.
func (ms Marks) Follows(before Marks) bool {
	if len(ms) < MaxMarks*markSize {
		return true
	}
	for i := 0; i < len(before); i += markSize {
		if ms.Has(Mark{[writerSize]byte(before[i:]), binary.BigEndian.Uint32(before[i+writerSize:])}) {
			return true
		}
	}
	return false
}

// millis returns the time of the first mark.
func (ms Marks) millis() int64 {
	t := ms[writerSize+countSize:]
	return int64(t[0])<<40 | int64(t[1])<<32 | int64(t[2])<<24 | int64(t[3])<<16 | int64(t[4])<<8 | int64(t[5])
}

func appendMarks(dst []byte, ms Marks) ([]byte, error) {
	if len(ms) == 0 {
		return dst, nil
	}
	if len(ms)%markSize != 0 || len(ms) > MaxMarks*markSize {
		return nil, fmt.Errorf("%w: Marks were not made by With", ErrInvalid)
	}
	return appendField(dst, tagMarks, []byte(ms)), nil
}

func readMarks(data []byte) (Marks, error) {
	if len(data)%markSize != 0 || len(data) > MaxMarks*markSize {
		return nil, malformed("marks of another length")
	}
	return Marks(data[:len(data):len(data)]), nil
}
