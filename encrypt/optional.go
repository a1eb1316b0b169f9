package encrypt

// Rotator is an [Encryptor] that knows retired keys. Most users won't need this:
// it is how a record under a retired key comes to be sealed afresh.
type Rotator interface {
	// Retired tells whether ciphertext was made under another key or algorithm
	// than Encrypt uses now. For bytes that do not open it means nothing.
	Retired(ciphertext []byte) bool
}

// Binder is an [Encryptor] that can derive the keys of one binding once, for a
// request that both opens and seals a record. Most users won't need this: it saves
// time, and does nothing that Encrypt and Decrypt do not.
//
// Where there is a Bind, Encrypt and Decrypt may not be called at all. A type that
// embeds a [Keyring] and changes those two has to change Bind as well.
type Binder interface {
	// Bind returns what seals and opens under this binding alone. It lives as
	// long as the request, since it holds derived keys. No reference to
	// binding is kept; an empty one is [ErrNoBinding].
	Bind(binding []byte) (Bound, error)
}

// Bound seals and opens under one binding; a [Binder] makes it. Rules 2, 3, 5 and
// 7 of [Encryptor] hold for it. Both methods may work in the memory of what they
// are given, up to its capacity, and return a part of it: a record is some
// kilobytes, and a request that copies it fewer times is a faster one. What was
// given is lost, after an error too. On an error they return nil.
type Bound interface {
	Seal(plaintext []byte) (ciphertext []byte, err error)
	Open(ciphertext []byte) (plaintext []byte, err error)
}
