// Package revoked ends sessions that only a client holds, by a list that all processes
// read. Each has a copy of it in memory, so a request asks nobody; what must not be
// overlooked, an end or a new ID, asks the list itself:
//
//   - An end adds "ended" under the session's key, a change of the ID "moved" and the
//     new key, each only where nothing is. So of the two that cross one comes first: an
//     end follows "moved" to the end, and nobody escapes an end by a new ID, at no
//     process.
//   - All of an owner's sessions, or all there are, end by a number: it is raised in the
//     list, and a session that has a lower one sealed into it has ended. A login seals
//     what the list has then. Nothing else changes what a session has sealed.
//   - The number of everybody is there from the list's beginning. Where it is missing,
//     the list has lost what it had, and it begins again with a higher one.
package revoked

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// The values of a list:
//
//	value  = "E" | "e"                        the session has ended; "e" one without an owner
//	       | ( "M" | "m" ) owner to deadline  it has a new ID
//	       | ( "N" | "B" ) number nonce       "B" is how a list begins
//	owner    = "=" the same | "!" another, by the change of ID
//	to       = 24 bytes: the new key
//	deadline = 6 bytes: its session's, Unix milliseconds
//	number   = 6 bytes
//	nonce    = 8 random bytes, by which whoever raised a number knows its own
//
// What is none of these a later version has written; it counts as "E".
const (
	kindEnded  = 'E'
	kindMoved  = 'M'
	kindRaised = 'N'
	kindBorn   = 'B'

	nobodys = 'e' - 'E' // makes the kind of a session without an owner
)

const (
	numberSize = 6
	keySize    = 24
)

func appendNumber(b []byte, n uint64) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], n)
	return append(b, all[2:]...)
}

// number reads 6 bytes.
func number(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:numberSize]))
}

// key reads 24 bytes.
func key(b []byte) stores.Key { return stores.NewKey([keySize]byte(b)) }

func endedValue(anonymous bool) string {
	if anonymous {
		return string(rune(kindEnded + nobodys))
	}
	return string(rune(kindEnded))
}

// anonymous tells whether an entry is of a session without an owner.
func anonymous(e stores.Revocation) bool { return e.Value != "" && e.Value[0] >= 'a' }

// move is what a "moved" says.
type move struct {
	to           stores.Key
	ownerChanged bool
	deadline     time.Time
}

func (m move) value(anonymous bool) string {
	b := make([]byte, 0, 2+keySize+numberSize)
	kind, owner := byte(kindMoved), byte('=')
	if anonymous {
		kind += nobodys
	}
	if m.ownerChanged {
		owner = '!'
	}
	hash := m.to.Hash()
	b = append(append(b, kind, owner), hash[:]...)
	return string(appendNumber(b, uint64(m.deadline.UnixMilli())))
}

func parseMove(value string) (m move, ok bool) {
	if len(value) != 2+keySize+numberSize || value[0] != kindMoved && value[0] != kindMoved+nobodys {
		return m, false
	}
	b := []byte(value[2:])
	return move{key(b), value[1] != '=', time.UnixMilli(int64(number(b[keySize:])))}, true
}

// numberValue returns a value that is nobody else's.
func numberValue(kind byte, n uint64) string {
	b := appendNumber([]byte{kind}, n)
	var nonce [8]byte
	rand.Read(nonce[:]) // never fails
	return string(append(b, nonce[:]...))
}

func parseNumber(value string) (n uint64, born, ok bool) {
	if len(value) != 1+numberSize+8 || value[0] != kindRaised && value[0] != kindBorn {
		return 0, false, false
	}
	return number([]byte(value[1:])), value[0] == kindBorn, true
}

// after returns a number above n and above all that were given before n was forgotten:
// it is no less than the time, and an entry is forgotten an hour after the last session
// that may have its number. That is the only use of a clock, and an hour is its slack.
func after(n uint64) uint64 { return max(n+1, uint64(time.Now().UnixMilli())) }
