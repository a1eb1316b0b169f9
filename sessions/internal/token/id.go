package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"

	"github.com/bulla-go/bulla/stores"
)

const (
	idSize  = 24 // bytes: 192 bits, far over the 64 bits of entropy that OWASP's session cheat sheet asks for
	idChars = 32 // base64url characters of an ID
)

// keyDomain separates this use of SHA-256 from every other.
const keyDomain = "bulla store key 1\x00"

// ID names one session and is the secret that logs its holder in: 24 bytes
// from crypto/rand. Only the client keeps it; stores and logs see its key.
//
// Formatting, logging, and marshalling an ID as JSON or text give the key, so
// that a stray %v cannot put a login into a log.
//
// The zero ID names no session. IDs are immutable and safe for concurrent use.
// Compare them with [ID.Equal], not with ==.
type ID struct {
	// Two pointers, because fmt prints unexported fields of an enclosing
	// struct without asking their methods. A pointer it prints as an address,
	// but with a verb that does not fit a pointer, such as %s, it prints what
	// is behind one.
	p **inner
}

// inner has the key too, which a request asks for some five times.
type inner struct {
	secret [idSize]byte
	key    stores.Key
	text   string // of a foreign ID
}

// newID returns the ID of idSize secret bytes. Both pointers are made in one
// allocation.
func newID(secret []byte) ID {
	box := new(struct {
		p *inner
		inner
	})
	box.p = &box.inner
	copy(box.secret[:], secret)
	box.key = keyOf(secret)
	return ID{&box.p}
}

// NewID draws a new ID from crypto/rand.
func NewID() ID {
	var secret [idSize]byte
	rand.Read(secret[:]) // never fails: crypto/rand aborts the program instead
	return newID(secret[:])
}

// foreignDomain separates this use of SHA-256 from every other.
const foreignDomain = "bulla foreign id 1\x00"

// ForeignID returns the ID of a session that another system knows by text: its secret
// is a hash of that, and its key the text's own ([stores.ForeignKey]). Text must not be
// empty.
func ForeignID(text string) ID {
	sum := sha256.Sum256([]byte(foreignDomain + text))
	box := new(struct {
		p *inner
		inner
	})
	box.p = &box.inner
	box.secret, box.key, box.text = [idSize]byte(sum[:]), stores.ForeignKey(text), text
	return ID{&box.p}
}

// NewForeignID draws an ID for a session that is shared with another system: our own
// 32 characters, as its text.
func NewForeignID() ID {
	var secret [idSize]byte
	rand.Read(secret[:]) // never fails: crypto/rand aborts the program instead
	return ForeignID(encoding.EncodeToString(secret[:]))
}

func (id ID) secret() []byte { return (*id.p).secret[:] }

// foreign returns the text of a foreign ID.
func (id ID) foreign() (text string, ok bool) {
	if id.IsZero() {
		return "", false
	}
	text = (*id.p).text
	return text, text != ""
}

// Chars returns the number of characters that a foreign ID takes, at most 32 of any
// other.
func (id ID) Chars() int {
	text, _ := id.foreign()
	return max(len(text), idChars)
}

// IsZero tells whether id names no session.
func (id ID) IsZero() bool { return id.p == nil }

// Equal compares in constant time. Two zero IDs are equal.
func (id ID) Equal(other ID) bool {
	if id.IsZero() || other.IsZero() {
		return id.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(id.secret(), other.secret()) == 1
}

// AppendSecret appends the 24 secret bytes to dst. Who holds them is logged in
// as the session's user: they belong into a key derivation or a MAC, never
// into a log, an error or a database. The zero ID appends nothing.
func (id ID) AppendSecret(dst []byte) []byte {
	if id.IsZero() {
		return dst
	}
	return append(dst, id.secret()...)
}

// Key returns the one-way hash under which servers keep the session and which
// logs may show: the SHA-256 hash of the ID under a domain of its own, cut to 24
// bytes. The zero ID has the zero Key.
func (id ID) Key() stores.Key {
	if id.IsZero() {
		return stores.Key{}
	}
	return (*id.p).key
}

func keyOf(secret []byte) stores.Key {
	var buf [len(keyDomain) + idSize]byte
	copy(buf[:], keyDomain)
	copy(buf[len(keyDomain):], secret)
	sum := sha256.Sum256(buf[:])
	return stores.NewKey([idSize]byte(sum[:]))
}

// String returns the text of the ID's key.
func (id ID) String() string { return id.Key().String() }

// Format writes the text of the ID's key, whatever the verb.
func (id ID) Format(f fmt.State, _ rune) { io.WriteString(f, id.String()) }

// LogValue gives slog the text of the ID's key.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// MarshalText returns the text of the ID's key; encoding/json uses it too.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }
