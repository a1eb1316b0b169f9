package swap

import (
	"slices"
	"sync"

	"github.com/bulla-go/bulla/stores"
)

// keyed has a value for each key for which something is under way: few at a time, in
// many lanes, so that the few of one lane are searched one by one. A map took twice as
// long, most of it waiting for memory between two round trips.
type keyed[V any] struct {
	lanes [256]lane[V]
}

// lane is a part with its own lock, which all its methods need.
type lane[V any] struct {
	mu      sync.Mutex
	entries []entry[V]
}

type entry[V any] struct {
	key   stores.Key
	value V
}

func (k *keyed[V]) lane(key stores.Key) *lane[V] {
	hash := key.Hash()
	return &k.lanes[hash[1]]
}

// find returns the value of key, or nil: a pointer for as long as the lock is held and
// nothing is added or removed.
func (l *lane[V]) find(key stores.Key) *V {
	for i := range l.entries {
		if l.entries[i].key == key {
			return &l.entries[i].value
		}
	}
	return nil
}

// add adds a key that there is none of yet.
func (l *lane[V]) add(key stores.Key, v V) { l.entries = append(l.entries, entry[V]{key, v}) }

func (l *lane[V]) remove(key stores.Key) {
	l.entries = slices.DeleteFunc(l.entries, func(e entry[V]) bool { return e.key == key })
}
