package encrypt

import (
	"crypto/fips140"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

const minSaltSize = 16 // bytes; RFC 9106, section 3.1

// Argon2idParams is the cost of a guess at a passphrase. Another value makes
// another key.
type Argon2idParams struct {
	Passes    uint32 // over the memory: t in RFC 9106
	MemoryKiB uint32 // m
	Threads   uint8  // p
}

// DefaultArgon2id is the second recommended option of RFC 9106, section 4: 3
// passes over 64 MiB with 4 threads.
var DefaultArgon2id = Argon2idParams{Passes: 3, MemoryKiB: 64 << 10, Threads: 4}

// minArgon2idMemory is the least memory in the OWASP Password Storage Cheat
// Sheet. RFC 9106 itself allows 8 KiB, which stops nobody.
const minArgon2idMemory = 7 << 10 // KiB

// KeyFromPassphrase derives a key from a passphrase with Argon2id (RFC 9106).
// A key of [GenerateKey] is better wherever it can be stored; a passphrase can
// be guessed by whoever has the salt and the key's ID, which stands in logs and in
// front of everything that is sealed under it.
//
// The salt is 16 random bytes or more. It is no secret, but must stay the same
// for the key to stay the same; so must params.
//
// It takes params.MemoryKiB of memory and, by default, some tenths of a second:
// call it once when the program starts, never in a request.
//
// An empty passphrase, a shorter salt, and params below 1 pass, 1 thread or 7
// MiB are [ErrInvalidKey]. Where GODEBUG=fips140=only is set every passphrase is
// refused: Argon2id is no approved algorithm.
func KeyFromPassphrase(passphrase string, salt []byte, params Argon2idParams) (Key, error) {
	switch {
	case fips140.Enforced():
		return Key{}, errors.New("encrypt: KeyFromPassphrase can't be used here: Argon2id is not allowed in FIPS 140-only mode; use a random key, from GenerateKey")
	case passphrase == "":
		return Key{}, fmt.Errorf("%w: empty passphrase", ErrInvalidKey)
	case len(salt) < minSaltSize:
		return Key{}, fmt.Errorf("%w: the salt has %d bytes; give %d random bytes, and keep them", ErrInvalidKey, len(salt), minSaltSize)
	case params.Passes < 1 || params.Threads < 1:
		return Key{}, fmt.Errorf("%w: Argon2id needs at least 1 pass and 1 thread; use DefaultArgon2id", ErrInvalidKey)
	case params.MemoryKiB < minArgon2idMemory:
		return Key{}, fmt.Errorf("%w: Argon2id with %d KiB of memory is too easy to guess; give at least %d, or use DefaultArgon2id", ErrInvalidKey, params.MemoryKiB, minArgon2idMemory)
	}
	return NewKey(argon2.IDKey([]byte(passphrase), salt, params.Passes, params.MemoryKiB, params.Threads, keySize))
}
