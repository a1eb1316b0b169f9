package stores

import (
	"context"
	"fmt"
	"time"
)

// Revision marks one state of one record. It is opaque, comparable and not
// secret; the zero Revision stands for "none". A record that the client holds
// has none.
type Revision string

// Record is one sealed session.
type Record struct {
	// Data is the sealed record.
	Data []byte

	// Expires is when the record ends. Never zero, never past in a Save.
	// Load returns it for records that the server holds.
	Expires time.Time

	// Revision is, in a Save, the state to be replaced, or none to create;
	// from a Load, the state that was read, or none where the client holds
	// the record.
	Revision Revision

	// Room is, in a Save, how many characters of payload the token has
	// room for. Only stores that put records into the token read it.
	Room int

	// Successor is set in a Save that creates a session's record under a new
	// ID; the old one goes as soon as this one is there. A store that has no
	// room for new sessions should have some for these: whoever logs in with
	// a session changes its ID.
	Successor bool

	// Stale is set by a Load that wants the record to be saved again soon,
	// such as one that is signed under a retired key.
	Stale bool
}

// Store keeps sealed records.
//
// These rules hold for every Store, and package storetest proves them. Those
// with a c do not hold for records that the client holds.
//
//  1. c Save with no Revision creates, and fails with [ErrExists] if there is a
//     live record under the ID.
//  2. c Save with a Revision replaces only that revision: [ErrConflict] if
//     another write came first, [ErrNotFound] if the record is gone. It never
//     brings a deleted record back.
//  3. c Load of a missing or expired record is [ErrNotFound]. Every other
//     failure, of any method, wraps [ErrUnavailable] and its cause, so that a
//     Load's can never be mistaken for "no session", and a write's never for
//     "not written": it may have been carried out, or may be yet. The
//     context's own error passes through, and says as little. Errors that
//     these rules name for a write mean that nothing was written.
//  4. c Delete with no Revision is idempotent. With one it removes only that
//     revision: [ErrConflict] if another write came first, [ErrNotFound] if the
//     record is gone.
//  5. Save refuses an Expires that is zero or past with [ErrInvalidRecord], so
//     that no record lives for ever. c Load returns the Expires that was saved,
//     to the millisecond or finer.
//  6. Data comes back byte for byte. A Store keeps no reference to the slices it
//     is given and hands out none that it still uses. It is safe for concurrent
//     use.
//  7. c A Revision is a mark that no other write has, kept beside the data.
//     Network clients retry; a compare that fails but finds the caller's own
//     mark is a success, so that a save whose first reply was lost is not taken
//     for a conflict.
//
// A Store limits the time of each call itself; it does not rely on ctx having a
// deadline.
type Store interface {
	// Load returns the record that tok names.
	Load(ctx context.Context, tok Token) (Record, error)

	// Save writes rec and returns the token that the client must hold from
	// now on, and the new revision (none where the client holds the record).
	Save(ctx context.Context, tok Token, rec Record) (Token, Revision, error)

	// Delete removes the record that tok names.
	Delete(ctx context.Context, tok Token, rev Revision) error
}

// Toucher is a [Store] that can move a record's expiry without rewriting its
// data.
type Toucher interface {
	// Touch moves the expiry of revision rev on to expires, and returns the
	// revision from now on, which may be the same. It never creates and
	// never shortens: where the record lasts longer already, it stays.
	// [ErrConflict] if another write came first, [ErrNotFound] if the record
	// is gone.
	Touch(ctx context.Context, tok Token, rev Revision, expires time.Time) (Revision, error)
}

// Ender is a [Store] for which a Delete is not enough to end a session, because
// a client can bring its record back.
type Ender interface {
	// End is a Delete after which no Save puts a record under the ID until
	// then.
	End(ctx context.Context, tok Token, rev Revision, until time.Time) error
}

// ClientHolder is a [Store] that puts some or all records into the token.
type ClientHolder interface {
	// ClientHolds tells whether a Save of size sealed bytes with these
	// arguments will put the record into the token. The manager asks before
	// it saves, because a record that the client holds is sealed under
	// another domain than one on the server, and carries its own times.
	ClientHolds(tok Token, rev Revision, size, room int) bool
}

// Sealing says how a store's records must be protected.
type Sealing int

const (
	// SealByDefault is for stores outside the process: an encryptor is
	// required unless the application explicitly waives encryption.
	SealByDefault Sealing = iota

	// SealAlways is for stores whose records have no other protection.
	SealAlways

	// SealOptional is for stores inside the process.
	SealOptional

	// SealNever is for stores that protect records themselves and are meant
	// to be readable.
	SealNever
)

// Info describes a store.
type Info struct {
	Name    string // for logs and hooks: "memory", "redis"
	Sealing Sealing

	// NoIO: no call waits for anything but the processor, so commits need no
	// time limit. A store that wraps another one and may wait must not take
	// this over.
	NoIO bool
}

// Describer is a [Store] that describes itself. A store that does not is named
// by its type and has [SealByDefault].
type Describer interface {
	// Describe returns the same every time.
	Describe() Info
}

// Describe returns what s says of itself.
func Describe(s Store) Info {
	if d, ok := s.(Describer); ok {
		return d.Describe()
	}
	return Info{Name: fmt.Sprintf("%T", s)}
}

// CheckExpires returns [ErrInvalidRecord] where rule 5 refuses rec.
func CheckExpires(rec Record) error {
	if rec.Expires.IsZero() {
		return fmt.Errorf("%w: no expiry; set Record.Expires", ErrInvalidRecord)
	}
	if !rec.Expires.After(time.Now()) {
		return fmt.Errorf("%w: expired before it was saved", ErrInvalidRecord)
	}
	return nil
}
