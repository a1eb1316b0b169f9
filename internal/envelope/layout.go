package envelope

import "github.com/bulla-go/bulla/serialize"

// Layout is a [serialize.Serializer] that also brings the layout of the whole
// record, in place of Bulla's own: that is how records of another system are
// read and written.
type Layout interface {
	serialize.Serializer

	// Join appends the record to dst. It may leave out metadata that the
	// layout has no place for: a record without Created counts from the moment
	// it is read, and one without Deadline ends by configuration. The result is
	// the caller's, who may write over it, up to its capacity.
	Join(dst []byte, env Envelope) ([]byte, error)

	// Split takes a record apart; [NewValues] makes the values. The Envelope
	// may share memory with data.
	Split(data []byte) (Envelope, error)

	// KeepsMarks: marks that Join was given are found again by Split, also when
	// the other system has written in between, for as long as what they stand for
	// is in the record. A Layout that only gives back its own may still do so.
	KeepsMarks() bool
}
