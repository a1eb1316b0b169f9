// Package oplog keeps what a request did to a session as a log of operations,
// each on one value, that can be replayed on a newer record.
package oplog

import (
	"slices"

	"github.com/bulla-go/bulla/internal/envelope"
)

// An Operation changes one value. It is given the value's bytes and whether
// there are any, and returns the new bytes and whether the value stays. It may
// run several times, each time on another record.
type Operation func(old []byte, ok bool) (data []byte, keep bool, err error)

// An Edit changes the metadata; it is replayed as an operation is.
type Edit func(*envelope.Metadata)

type logged struct {
	name string
	op   Operation
}

// Log is what a request did. The zero Log is empty.
type Log struct {
	ops   []logged
	edits []Edit
}

// Add appends an operation.
func (l *Log) Add(name string, op Operation) { l.ops = append(l.ops, logged{name, op}) }

// Edit appends an edit.
func (l *Log) Edit(e Edit) { l.edits = append(l.edits, e) }

// Len returns how many operations and edits there are.
func (l *Log) Len() int { return len(l.ops) + len(l.edits) }

// Edits tells whether there are edits.
func (l *Log) Edits() bool { return len(l.edits) > 0 }

// Snapshot returns the log as it is now; what is added later is not in it.
func (l *Log) Snapshot() Log { return Log{slices.Clip(l.ops), slices.Clip(l.edits)} }

// After returns what was added since the snapshot was made.
func (l *Log) After(snapshot Log) Log {
	return Log{l.ops[len(snapshot.ops):], l.edits[len(snapshot.edits):]}
}

// Metadata returns md with the edits.
func (l *Log) Metadata(md envelope.Metadata) envelope.Metadata {
	if len(l.edits) == 0 {
		return md
	}
	changed := new(envelope.Metadata) // here, so that no edits cost no allocation
	*changed = md
	for _, e := range l.edits {
		e(changed)
	}
	return *changed
}

// Values returns v with the operations.
func (l *Log) Values(v envelope.Values) (envelope.Values, error) {
	for _, one := range l.ops {
		old, ok := v.Get(one.name)
		data, keep, err := one.op(old, ok)
		if err == nil {
			v, err = Put(v, one.name, data, keep)
		}
		if err != nil {
			return envelope.Values{}, err
		}
	}
	return v, nil
}

// Put returns v with what an operation has made of one value.
func Put(v envelope.Values, name string, data []byte, keep bool) (envelope.Values, error) {
	if !keep {
		return v.Without(name), nil
	}
	return v.With(name, data)
}
