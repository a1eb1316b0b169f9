package sessions

import (
	"bytes"
	"slices"
	"strings"

	"github.com/bulla-go/bulla/serialize"
)

// An operation changes one value. It is given the value's bytes and whether
// there are any, and returns the new bytes and whether the value stays. It may
// run several times, each time on another record.
type operation func(old []byte, ok bool) (data []byte, keep bool, err error)

type logged struct {
	name string
	op   operation
}

// An edit changes the metadata; it is replayed as an operation is.
type edit func(*serialize.Metadata)

func edited(meta serialize.Metadata, edits []edit) serialize.Metadata {
	for _, e := range edits {
		e(&meta)
	}
	return meta
}

// values are a session's encoded values, sorted by name.
type values []serialize.Value

func (v values) find(name string) (int, bool) {
	return slices.BinarySearchFunc(v, name, func(x serialize.Value, name string) int {
		return strings.Compare(x.Name, name)
	})
}

func (v values) get(name string) ([]byte, bool) {
	i, ok := v.find(name)
	if !ok {
		return nil, false
	}
	return v[i].Data, true
}

// put changes v in place: the caller owns it.
func (v values) put(name string, data []byte, keep bool) values {
	i, ok := v.find(name)
	switch {
	case ok && keep:
		v[i].Data = data
	case ok:
		return slices.Delete(v, i, i+1)
	case keep:
		return slices.Insert(v, i, serialize.Value{Name: name, Data: data})
	}
	return v
}

func (v values) equal(w values) bool {
	return slices.EqualFunc(v, w, func(a, b serialize.Value) bool {
		return a.Name == b.Name && bytes.Equal(a.Data, b.Data)
	})
}

// replay applies the log to a copy of v.
func replay(v values, log []logged) (values, error) {
	v = slices.Clone(v)
	for _, l := range log {
		old, ok := v.get(l.name)
		data, keep, err := l.op(old, ok)
		if err != nil {
			return nil, err
		}
		v = v.put(l.name, data, keep)
	}
	return v, nil
}
