package stores

import "errors"

// Errors of stores. They are wrapped; test them with errors.Is.
var (
	// ErrNotFound: there is no live record under the key.
	ErrNotFound = errors.New("stores: no such record")

	// ErrConflict: the record is not at the revision that was to be replaced.
	// Nothing was written.
	ErrConflict = errors.New("stores: the record is at another revision")

	// ErrUnavailable: the store could not do its work, or can't say whether
	// it did. It says nothing about whether the session exists, and must not
	// be taken for a logout.
	ErrUnavailable = errors.New("stores: the store is unavailable")

	// ErrFull: there is no room for a new or longer record. Nothing was
	// written. It comes wrapped together with ErrUnavailable.
	ErrFull = errors.New("stores: the store is full")

	// ErrTooLarge: the record does not fit where it must go. Nothing was
	// written.
	ErrTooLarge = errors.New("stores: the session is too large")

	// ErrInvalidRecord: the record breaks the contract: an Expires that is
	// zero or past. Nothing was written.
	ErrInvalidRecord = errors.New("stores: invalid record")

	// ErrMalformed: the text is not one that the codec writes.
	ErrMalformed = errors.New("stores: malformed payload")

	// ErrTampered: what the client holds does not authenticate. It was
	// changed, belongs to another session, cookie or application, or was
	// made under a key that is not in the list.
	ErrTampered = errors.New("stores: the payload does not authenticate")
)
