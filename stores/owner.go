package stores

import (
	"context"
	"time"
)

// Entry is one session in the list of an owner's.
type Entry struct {
	Key Key // of the session

	// Number orders the entries of one owner by when they were first added. In
	// an AddEntry, 0 asks the index for one.
	Number uint64

	// Data is sealed: what a list of sessions shows.
	Data []byte

	// Expires is when the entry leaves the list by itself.
	Expires time.Time

	// Age is how long ago the entry was written, by the index's own clock.
	// Entries sets it.
	Age time.Duration
}

// OwnerIndex is a [Server] that can list the sessions of one owner. It knows
// entries, not records: whether a session lives, a Load of its Key tells. The
// owner is a key too, under which the owner's epoch is kept as an ordinary
// record; the list is kept apart from it.
//
// These rules hold for every OwnerIndex; package storetest proves them.
//
//  1. AddEntry adds an entry, or replaces that of the same Key, and returns its
//     Number. It does not ask whether there is a record. An entry with a Number
//     keeps it. One without gets that of the entry that it replaces, or else
//     one greater than those of all entries that the list has or had: so an
//     AddEntry that is repeated changes nothing.
//  2. Entries returns the entries whose Expires is not past, in any order. It
//     costs in proportion to the list, not to the store.
//  3. RemoveEntries removes entries. It is idempotent.
//  4. Errors, slices, concurrency and time limits are as in rules 2 and 5 of
//     [Server]. Entries is answered by the server itself.
type OwnerIndex interface {
	AddEntry(ctx context.Context, owner Key, e Entry) (number uint64, err error)
	Entries(ctx context.Context, owner Key) ([]Entry, error)
	RemoveEntries(ctx context.Context, owner Key, keys ...Key) error
}
