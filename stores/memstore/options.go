package memstore

import "fmt"

const (
	defaultMaxSessions   = 1 << 20
	defaultMaxRecordSize = 1 << 20 // bytes

	defaultMaxRevocations = 1 << 20

	// reserve is the part of the limit that there is again above it.
	reserve = 8
)

type options struct {
	maxSessions    int
	maxRecordSize  int
	maxRevocations int
}

// Option changes what [New] or [NewRevocations] makes.
type Option func(*options) error

// WithMaxSessions limits the store to n sessions, in place of 1,048,576. A limit
// there must be: whoever can make a server begin sessions could otherwise fill
// its memory. What a session leaves behind for some minutes, at its end or at a
// change of its ID, counts as one.
//
// Above the limit there is room for an eighth more, for the new IDs of users who
// have a session already ([stores.Record.Continues]): those who log in while
// newcomers are refused. The list of owners' sessions has as many entries as
// there can be records.
func WithMaxSessions(n int) Option {
	return func(o *options) error {
		// Places are counted with 32 bits.
		if n < 1 || int64(n) > 1<<31 {
			return fmt.Errorf("memstore: WithMaxSessions(%d): the limit must be from 1 to %d", n, int64(1<<31))
		}
		o.maxSessions = n
		return nil
	}
}

// WithMaxRecordSize limits a record to n bytes, 1024 or more, in place of 1 MiB.
// A longer one is [stores.ErrTooLarge]. The limit holds for the data of an
// owner's entry too.
func WithMaxRecordSize(n int) Option {
	return func(o *options) error {
		// What is written over a session to end it must always fit.
		if n < 1024 {
			return fmt.Errorf("memstore: WithMaxRecordSize(%d): the limit must be 1024 bytes or more", n)
		}
		o.maxRecordSize = n
		return nil
	}
}

// WithMaxRevocations limits the list of [NewRevocations] to n entries, in place of
// 1,048,576. At the limit a logout that would need another one fails.
func WithMaxRevocations(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("memstore: WithMaxRevocations(%d): the limit must be 1 or more", n)
		}
		o.maxRevocations = n
		return nil
	}
}
