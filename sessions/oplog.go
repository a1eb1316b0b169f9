package sessions

import "github.com/bulla-go/bulla/serialize"

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
	if len(edits) == 0 {
		return meta
	}
	changed := new(serialize.Metadata) // here, so that no edits cost no allocation
	*changed = meta
	for _, e := range edits {
		e(changed)
	}
	return *changed
}

// replay applies the log to v.
func replay(v serialize.Values, log []logged) (serialize.Values, error) {
	for _, l := range log {
		old, ok := v.Get(l.name)
		data, keep, err := l.op(old, ok)
		if err == nil {
			v, err = put(v, l.name, data, keep)
		}
		if err != nil {
			return serialize.Values{}, err
		}
	}
	return v, nil
}

// put returns v with what an operation has made of one value.
func put(v serialize.Values, name string, data []byte, keep bool) (serialize.Values, error) {
	if !keep {
		return v.Without(name), nil
	}
	return v.With(name, data)
}
