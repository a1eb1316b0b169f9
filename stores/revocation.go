package stores

import (
	"context"
	"fmt"
	"time"
)

// MaxRevocationValue is how long a [Revocation]'s Value is at most, in bytes.
const MaxRevocationValue = 64

// Revocation is one entry of a [RevocationList].
type Revocation struct {
	// Key is that of a session that has ended or has a new ID; or it stands for
	// all sessions of one owner, or for all there are.
	Key Key

	// Value says what is the matter: 1 to [MaxRevocationValue] bytes. A list does not
	// look into it.
	Value string

	// Until is when the list may forget the entry.
	Until time.Time
}

// Cursor is a place in a [RevocationList]. It is opaque and not secret; the zero
// Cursor is before everything.
type Cursor string

// RevocationPage is what a [RevocationList.Since] returns.
type RevocationPage struct {
	Entries []Revocation
	Next    Cursor // the place after the last of Entries
	More    bool   // there is more after it already
}

// RevocationList keeps which sessions have ended of those that a client holds, and so
// nobody can delete. Each process has a copy in memory and asks for what is new.
//
// These rules hold for every RevocationList; package storetest proves them.
//
//  1. Swap writes e if its key has the value old or, where old is empty, none. It
//     returns the value that the key has then: e.Value, if this Swap or an earlier one
//     of the same old and new value was carried out; another one, if nothing was
//     written. So a Swap whose reply was lost is repeated safely, and of several that
//     begin at one old value exactly one gets its own value back. Where the key
//     has e.Value already, Until moves on to e.Until, never back.
//  2. Get returns the value of each key, "" for one that has none. It finds what was
//     written by every Swap that has returned.
//  3. Since returns what was written after a cursor, the oldest first; after the zero
//     Cursor, all there is. A page may end anywhere, if it says that there is More. A
//     key comes with its last value, and may come with earlier ones before that. What a
//     Swap has written is found with every Cursor that was given before that Swap was
//     called. It may come into sight behind a cursor that was given meanwhile: a
//     transaction that took a number and committed later. Therefore readers ask again
//     from a cursor that is a minute old, and what comes again does no harm.
//  4. An entry stays until its Until at least, by the list's own clock counted from
//     when it was written; it may go any time after. An Until that is zero or past, a
//     Value that is empty or longer than [MaxRevocationValue], and an old value that
//     is the new one are [ErrInvalidRecord].
//  5. A list has a limit. At it a Swap of a key that has no value is refused: the error
//     wraps [ErrFull] and [ErrUnavailable]. Other Swaps go on.
//  6. Every other failure wraps [ErrUnavailable] and its cause; the context's own error
//     passes through. A Swap that failed so may have been carried out, or may be
//     yet. Get and Since are answered by the server itself, not by a cache or a
//     replica. All methods may be called at once; no slice that was handed out is used
//     again; a call ends within the list's own time limit.
type RevocationList interface {
	Swap(ctx context.Context, old string, e Revocation) (now string, err error)
	Get(ctx context.Context, keys ...Key) (values []string, err error)
	Since(ctx context.Context, after Cursor) (RevocationPage, error)
}

// CheckRevocation returns [ErrInvalidRecord] where rule 4 refuses a Swap.
func CheckRevocation(old string, e Revocation) error {
	switch {
	case e.Value == "" || len(e.Value) > MaxRevocationValue:
		return fmt.Errorf("%w: an entry's value has 1 to %d bytes, this one %d", ErrInvalidRecord, MaxRevocationValue, len(e.Value))
	case old == e.Value:
		return fmt.Errorf("%w: the new value is the old one", ErrInvalidRecord)
	}
	return CheckExpires(Record{Expires: e.Until})
}
