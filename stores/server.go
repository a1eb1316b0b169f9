package stores

import (
	"context"
	"fmt"
	"time"
)

// Revision marks one state of one record. It is opaque, comparable and not
// secret; the zero Revision stands for "no record".
type Revision string

// Record is what a [Server] keeps under a key.
type Record struct {
	// Data is the sealed record, or a stub. A store does not look into it.
	Data []byte

	// Expires is when the record ends.
	Expires time.Time

	// Revision is, of a Load, the state that was read; in a Save, the state
	// to replace, or none to create. A Put ignores it.
	Revision Revision

	// Continues: this record, to be created, continues a session that there
	// is under another key. A store with a limit of its own keeps a reserve
	// for these, so that users can log in while newcomers are refused.
	Continues bool
}

// Freshness says what may answer a [Server.Load].
type Freshness bool

const (
	// MayBeStale: a cache or a replica may answer, where the store was made
	// to ask one. See [Place.StaleReads].
	MayBeStale Freshness = false

	// Fresh: the server itself answers.
	Fresh Freshness = true
)

// Server keeps records on a server.
//
// These rules hold for every Server; package storetest proves them.
//
//  1. Save writes only if the key's record is at rec.Revision or, with none, if
//     there is no live record. Otherwise it writes nothing and answers
//     [ErrConflict], whatever the reason: another write, gone, there already,
//     expired. It never brings back what is gone. Every write gives the record
//     a Revision that no other write of any record under that key had or will
//     have.
//  2. Load of a missing or expired record is [ErrNotFound]. A record that does
//     not fit is [ErrTooLarge], and nothing was written. Every other failure of
//     any method wraps [ErrUnavailable] and its cause, so that it is never
//     mistaken for "no session"; the context's own error passes through. A
//     write that failed so may have been carried out, or may be yet.
//  3. Put writes whatever is there, and is idempotent. Where there is no room
//     for a Save, a Put and a Save of a record that is no longer than the one
//     that it replaces are still possible.
//  4. Expires is never zero and never past in a write: [ErrInvalidRecord]. Load
//     returns it, to the millisecond or finer. No record lives for ever.
//     Nothing is deleted but by its time: ending a session is writing a stub
//     over it.
//  5. Data comes back byte for byte. No slice of the caller's is kept, and none
//     that was handed out is used again. All methods may be called at once. A
//     call ends within the store's own time limit; it does not rely on ctx
//     having a deadline.
//  6. A Load that asks for [Fresh], and every reading of an [OwnerIndex] or a
//     [Batcher], is answered by the server itself, not by a cache or a replica.
//
// A Server need not recognise its own writes when its client sends them twice,
// and may or may not try again by itself: a write that answers anything but
// success is looked for by the caller.
type Server interface {
	// Load returns the key's record.
	Load(ctx context.Context, key Key, fresh Freshness) (Record, error)

	// Save replaces the key's record at rec.Revision, and returns the new
	// revision.
	Save(ctx context.Context, key Key, rec Record) (Revision, error)

	// Put writes rec unconditionally. It is for ending a record whose ID
	// never went out.
	Put(ctx context.Context, key Key, rec Record) error
}

// Toucher is a [Server] that can move a record's expiry without rewriting its
// data.
type Toucher interface {
	// Touch moves the expiry of revision rev on to expires, never back, and
	// returns the revision from now on, which may be the same. Where nothing
	// was moved because the record is at another revision, gone or expired,
	// it is [ErrConflict].
	Touch(ctx context.Context, key Key, rev Revision, expires time.Time) (Revision, error)
}

// Batcher is a [Server] that can ask for many records in few round trips.
// Without it they are asked for one by one.
type Batcher interface {
	// LoadMany does a fresh Load for each key. A Record without Revision
	// stands for ErrNotFound.
	LoadMany(ctx context.Context, keys []Key) ([]Record, error)

	// SaveMany does a Save for each key. conflicts[i] tells that the i-th
	// answered ErrConflict. After an error each may have been written or not.
	SaveMany(ctx context.Context, keys []Key, recs []Record) (conflicts []bool, err error)
}

// CheckExpires returns [ErrInvalidRecord] where rule 4 refuses rec.
func CheckExpires(rec Record) error {
	if rec.Expires.IsZero() {
		return fmt.Errorf("%w: no expiry; set Record.Expires", ErrInvalidRecord)
	}
	if !rec.Expires.After(time.Now()) {
		return fmt.Errorf("%w: expired before it was saved", ErrInvalidRecord)
	}
	return nil
}
