package envelope

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Values are a session's encoded values, by name, in the form that a record has
// them: most requests look at one or two of them, and a slice of all was a tenth of
// a read's time and two of its allocations.
//
// Values are immutable and safe for concurrent use. Looking for a name takes time
// in proportion to their number, and a change to their size: some nanoseconds for
// the few values that a session mostly has. The zero Values are none.
type Values struct {
	count int
	block []byte // each a sized name and sized data, sorted by name, bytewise, no name twice
}

// NewValues returns the values that seq yields, as [Values.With] would, one after
// the other, but in time that is far from the square of their number: they are
// sorted once. The data is copied. A name that comes twice has its last data; one
// that is empty or has more than 255 bytes is [ErrInvalid].
func NewValues(seq iter.Seq2[string, []byte]) (Values, error) {
	type value struct {
		name string
		data []byte
	}
	var all []value
	for name, data := range seq {
		if err := checkName(name); err != nil {
			return Values{}, err
		}
		all = append(all, value{name, data})
	}
	slices.SortStableFunc(all, func(a, b value) int { return strings.Compare(a.name, b.name) })
	last := all[:0]
	size := 0
	for i, v := range all {
		if i+1 < len(all) && all[i+1].name == v.name {
			continue
		}
		last = append(last, v)
		size += sizedLen(len(v.name)) + sizedLen(len(v.data))
	}
	if len(last) == 0 {
		return Values{}, nil
	}
	block := make([]byte, 0, size)
	for _, v := range last {
		block = appendSized(appendSized(block, v.name), v.data)
	}
	return Values{len(last), block}, nil
}

func checkName(name string) error {
	if len(name) == 0 || len(name) > maxName {
		return fmt.Errorf("%w: the name of a value has %d bytes; it must have 1 to %d", ErrInvalid, len(name), maxName)
	}
	return nil
}

// Len returns the number of values.
func (v Values) Len() int { return v.count }

// Get returns what a Serializer's Marshal returned for name, and whether there is
// a value of that name. The result shares memory with v and must not be changed;
// it has no capacity beyond its bytes, and is never nil where there is a value.
func (v Values) Get(name string) (data []byte, ok bool) {
	start, end := v.find(name)
	if start == end {
		return nil, false
	}
	_, data, _ = cutValue(v.block[start:end])
	return data, true
}

// All yields names and data, sorted by name. What [Values.Get] says of the data
// holds here.
func (v Values) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := v.block; len(rest) > 0; {
			var name, data []byte
			if name, data, rest = cutValue(rest); !yield(string(name), data) {
				return
			}
		}
	}
}

// With returns v and data under name, in place of what is there under it. A name
// that is empty or has more than 255 bytes is [ErrInvalid]. Each call copies all of
// v; [NewValues] makes many at once.
func (v Values) With(name string, data []byte) (Values, error) {
	if err := checkName(name); err != nil {
		return Values{}, err
	}
	start, end := v.find(name)
	block := make([]byte, 0, len(v.block)-(end-start)+sizedLen(len(name))+sizedLen(len(data)))
	block = append(block, v.block[:start]...)
	block = appendSized(block, name)
	block = appendSized(block, data)
	block = append(block, v.block[end:]...)
	if start == end {
		v.count++
	}
	return Values{v.count, block}, nil
}

// Without returns v without the value of that name.
func (v Values) Without(name string) Values {
	start, end := v.find(name)
	switch {
	case start == end:
		return v
	case v.count == 1:
		return Values{}
	}
	block := make([]byte, 0, len(v.block)-(end-start))
	block = append(block, v.block[:start]...)
	return Values{v.count - 1, append(block, v.block[end:]...)}
}

// Equal tells whether v and w have the same names and data.
func (v Values) Equal(w Values) bool { return bytes.Equal(v.block, w.block) }

// find returns where the value of that name lies in the block. Where there is
// none, start and end are the place where it belongs.
func (v Values) find(name string) (start, end int) {
	for start < len(v.block) {
		n, i := sizeAt(v.block, start)
		have := v.block[i : i+n]
		n, i = sizeAt(v.block, i+n)
		switch {
		case string(have) == name:
			return start, i + n
		case string(have) > name:
			return start, start
		}
		start = i + n
	}
	return start, start
}

// cutValue cuts one value off a block.
func cutValue(block []byte) (name, data, rest []byte) {
	n, i := sizeAt(block, 0)
	name = block[i : i+n]
	n, i = sizeAt(block, i+n)
	return name, block[i : i+n : i+n], block[i+n:]
}

// sizeAt reads the length at block[i], and where the bytes begin that have it.
// Blocks are known to be well-formed.
func sizeAt(block []byte, i int) (n, start int) {
	if block[i] < 0x80 { // as almost every length is
		return int(block[i]), i + 1
	}
	x, n := binary.Uvarint(block[i:])
	return int(x), i + n
}

// splitValues reads count values, which must be all that b has.
func splitValues(count uint64, b []byte) (Values, error) {
	// A value has at least a length, one byte of name, and a length. Whatever the
	// count says, the loop ends with the bytes.
	if count > uint64(len(b)/3) {
		return Values{}, malformed("more values than bytes")
	}
	var last []byte
	end := 0
	for range count {
		start, next, err := sizedAt(b, end)
		if err != nil {
			return Values{}, err
		}
		name := b[start:next]
		if len(name) == 0 || len(name) > maxName {
			return Values{}, malformed("name empty or too long")
		}
		if bytes.Compare(name, last) <= 0 {
			return Values{}, malformed("names out of order or twice")
		}
		last = name
		if _, end, err = sizedAt(b, next); err != nil {
			return Values{}, err
		}
	}
	if end < len(b) {
		return Values{}, malformed("bytes after the last value")
	}
	if count == 0 {
		return Values{}, nil
	}
	return Values{int(count), b[:len(b):len(b)]}, nil
}

// sizedAt returns where the bytes lie whose length is at b[i].
func sizedAt(b []byte, i int) (start, end int, err error) {
	if i < len(b) && b[i] < 0x80 && int(b[i]) < len(b)-i {
		return i + 1, i + 1 + int(b[i]), nil
	}
	data, rest, err := cutSized(b[i:])
	end = len(b) - len(rest)
	return end - len(data), end, err
}
