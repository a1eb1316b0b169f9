package serialize

// Serializer turns one value into bytes and back.
//
// Rules:
//
//  1. Marshal is given a pointer to the value, Unmarshal a pointer to a zero
//     value of the same type.
//  2. What Marshal returned, Unmarshal reads back as an equal value, or Marshal
//     or Unmarshal fails. The result shares no memory with data.
//  3. Neither panics, whatever the value or the bytes. Unmarshal may be given
//     bytes that were encoded from a value of another type.
//  4. Neither keeps a reference to its arguments. Both are safe for concurrent
//     use.
type Serializer interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// Layout is a [Serializer] that also brings the layout of the whole record, in
// place of Bulla's own envelope. That is how records that another system wrote
// are read.
type Layout interface {
	Serializer

	// Join appends the record to dst. It may leave out metadata that the
	// layout has no place for: without Created a session counts from the
	// moment it is read, and without Deadline it ends when the configuration
	// says. The result is the caller's, who may write over it, up to its
	// capacity.
	Join(dst []byte, env Envelope) ([]byte, error)

	// Split takes a record apart; [NewValues] makes the values. The Envelope
	// may share memory with data.
	Split(data []byte) (Envelope, error)
}
