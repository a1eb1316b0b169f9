package envelope

import (
	"errors"
	"math"
	"time"
)

// Errors of records. They are wrapped; test them with errors.Is. Their text
// never carries a name, a value or other content of the session.
var (
	// ErrMalformed: the bytes are not a record that [Join] wrote.
	ErrMalformed = errors.New("envelope: malformed record")

	// ErrInvalid: the [Envelope] can't be written. The fault is the caller's.
	ErrInvalid = errors.New("envelope: invalid envelope")
)

// Envelope is one session's record: its metadata and its encoded values.
type Envelope struct {
	Metadata
	Values Values
}

// Metadata is what a record tells of its session. Times are kept to the
// millisecond, rounded down; [Split] returns them in UTC. They lie between 1970
// and 2262. The zero value of a field is "none" and takes no room in the
// record; Created and Deadline are required.
type Metadata struct {
	// Created is when the session began.
	Created time.Time

	// Deadline is the session's absolute end, enforced on every load. It is
	// not before Created.
	Deadline time.Time

	// Authenticated is when the session's user proved who they are; zero
	// where that never happened. It may be before Created.
	Authenticated time.Time

	// Owner says whose session it is, in a form that only the manager reads.
	Owner string

	// Label is the application's own text for a list of sessions.
	Label string

	// Generation is raised by every save.
	Generation uint64

	// Idle is the idle lifetime in force when the record was saved; 0 is
	// none. At least a millisecond, and kept to the millisecond.
	Idle time.Duration

	// Sealed is when the bytes were sealed. Only records and copies that the
	// client holds have it: no store keeps an expiry for them.
	Sealed time.Time

	// Expires is the expiry of the server's record. Only cached copies have
	// it.
	Expires time.Time

	// Revision is the revision of the server's record. Only cached copies
	// have it.
	Revision string

	// Marks tell who wrote the record of late. Records on a server have them,
	// and copies of those.
	Marks Marks

	// Persistent is what the session says of whether the browser keeps the
	// cookie when it is closed: [Persist] or [Forget]; 0 where it says nothing.
	Persistent Persistence

	// OwnIdle is an idle lifetime of this session's own, no longer than the
	// configured one; 0 is none. At least a millisecond.
	OwnIdle time.Duration

	// Epochs says which of the numbers in a list of what has ended the session has
	// seen, in a form that only package revoked reads.
	Epochs []byte

	// Latest is the deadline from before it was shortened, where the client may hold an
	// older record of the session, under the same ID, that has it.
	Latest time.Time

	// Extra are the fields of later versions, sorted by Tag, without
	// duplicates. They are kept and written back, so that an old process in
	// a rolling deployment does not destroy what a new one wrote.
	Extra []Field
}

// Last returns the latest deadline that a record of the session's ID has.
func (md *Metadata) Last() time.Time {
	if md.Latest.After(md.Deadline) {
		return md.Latest
	}
	return md.Deadline
}

// Field is one field of a later version.
type Field struct {
	Tag  byte // 13 or higher
	Data []byte
}

// Persistence says whether a browser keeps a session's cookie when it is closed.
type Persistence byte

// What a session may say.
const (
	Forget Persistence = 1 + iota
	Persist
)

// version is the first byte of every record.
const version = 0x01

// The tags of the fields that may be absent. A record has them in this order.
const (
	tagAuthenticated byte = 1 + iota
	tagOwner
	tagLabel
	tagIdle
	tagSealed
	tagExpires
	tagRevision
	tagMarks
	tagPersistent
	tagOwnIdle
	tagEpochs
	tagLatest

	firstExtra
)

const (
	maxName = 255 // bytes

	// maxMillis is the longest Duration and the latest time, in 2262. Within
	// it neither Time.Sub nor Time.UnixNano overflows, so that no record can
	// turn an expiry into its opposite.
	maxMillis = int64(math.MaxInt64 / time.Millisecond)
)

var (
	earliest = time.UnixMilli(0)
	latest   = time.UnixMilli(maxMillis)
)
