package stores

import "errors"

// Errors of stores. They are wrapped; test them with errors.Is.
var (
	// ErrNotFound: there is no live record under this ID. It was never
	// there, has expired, or was deleted.
	ErrNotFound = errors.New("stores: no such session")

	// ErrExists: a record that was to be created is there already.
	ErrExists = errors.New("stores: the session exists already")

	// ErrConflict: another write came between the load and this write.
	ErrConflict = errors.New("stores: the session was changed meanwhile")

	// ErrUnavailable: the store could not do its work, or not say that it has.
	// It says nothing about whether the session exists, and must not be taken
	// for a logout; nor about whether a write was carried out.
	ErrUnavailable = errors.New("stores: the store is unavailable")

	// ErrTooLarge: the record does not fit where it must go.
	ErrTooLarge = errors.New("stores: the session is too large")

	// ErrMalformed: the text or bytes have not the form of a token.
	ErrMalformed = errors.New("stores: malformed token")

	// ErrTampered: what the client holds does not authenticate. It was
	// changed, belongs to another session, cookie or application, or was
	// made under a key that is not in the list.
	ErrTampered = errors.New("stores: the token does not authenticate")

	// ErrInvalidRecord: the record breaks the contract; today, an Expires
	// that is zero or past.
	ErrInvalidRecord = errors.New("stores: invalid record")
)
