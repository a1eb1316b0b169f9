package encrypt

import "errors"

// Errors of encryptors. They are wrapped; test them with errors.Is. They tell
// an operator what happened; a client must see no difference between them.
var (
	// ErrTampered: the ciphertext does not authenticate. It was changed, or
	// belongs to another binding.
	ErrTampered = errors.New("encrypt: does not authenticate")

	// ErrMalformed: the bytes have not the form of a ciphertext.
	ErrMalformed = errors.New("encrypt: malformed ciphertext")

	// ErrUnknownKey: the ciphertext names a key that is not in the ring.
	ErrUnknownKey = errors.New("encrypt: sealed under a key that is not in the ring")

	// ErrNoBinding: the binding is empty. The fault is the caller's.
	ErrNoBinding = errors.New("encrypt: empty binding")

	// ErrInvalidKey: a key, or a list of keys, that can't be used.
	ErrInvalidKey = errors.New("encrypt: invalid key")
)

// Encryptor seals and opens bytes.
//
// These rules hold for every Encryptor, and package encrypttest proves them.
//
//  1. Encrypt appends the ciphertext to dst and returns the extended slice;
//     Decrypt does the same with the plaintext. On an error both return nil.
//  2. What Encrypt made, Decrypt opens with the same binding. With any other
//     binding, or with one bit of the ciphertext changed, it fails.
//  3. Decrypt fails with an error that wraps [ErrTampered], [ErrMalformed] or
//     [ErrUnknownKey], whatever the bytes are. It never panics.
//  4. An empty binding is [ErrNoBinding]: bytes that are bound to nothing could
//     be moved anywhere.
//  5. A ciphertext shows nothing of the plaintext but its length; two of one
//     plaintext have nothing in common but a header. The plaintext may be empty.
//  6. The arguments are left as they were, beyond len(dst). dst must not overlap
//     the other arguments. No reference to them is kept.
//  7. An Encryptor is safe for concurrent use.
type Encryptor interface {
	Encrypt(dst, plaintext, binding []byte) ([]byte, error)
	Decrypt(dst, ciphertext, binding []byte) ([]byte, error)
}
