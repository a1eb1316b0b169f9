package record

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Stub is what stands in a record's place when the session has ended or has a new
// ID. It is plain: a server must be able to end what it can't open, and who can
// write to the store can end sessions anyway. It tells no ID.
//
//	stub  = magic kind time [ moved ]
//	magic = 00 "bulla stub" 00
//	kind  = "E" ended | "R" ended by a revocation | "M" moved
//	time  = Unix milliseconds, 8 bytes: when it was written
//	moved = "=" or "!" (the owner changed) and the 24 bytes of the new key, behind
//	        which a foreign key has its name
//
// The magic can't begin a record: an envelope begins with its version, 01, and so
// does what encrypt seals; of another's encryption it is 12 bytes that come up once
// in 2^96.
type Stub struct {
	At           time.Time  // when it was written
	To           stores.Key // of the new record; zero where the session has ended
	OwnerChanged bool       // by the change of ID
	Revoked      bool       // not by a logout of its own: all that a stream elsewhere can tell its user
}

var stubMagic = []byte("\x00bulla stub\x00")

const (
	kindEnded   = 'E'
	kindRevoked = 'R'
	kindMoved   = 'M'

	sameOwner    = '='
	anotherOwner = '!'
)

// Moved tells whether the session has a new ID.
func (s Stub) Moved() bool { return !s.To.IsZero() }

// Data returns the record that is the stub.
func (s Stub) Data() []byte {
	hash := s.To.Hash()
	data := make([]byte, 0, len(stubMagic)+1+8+1+len(hash))
	data = append(data, stubMagic...)
	switch {
	case s.Revoked:
		return binary.BigEndian.AppendUint64(append(data, kindRevoked), uint64(s.At.UnixMilli()))
	case !s.Moved():
		return binary.BigEndian.AppendUint64(append(data, kindEnded), uint64(s.At.UnixMilli()))
	}
	data = binary.BigEndian.AppendUint64(append(data, kindMoved), uint64(s.At.UnixMilli()))
	if s.OwnerChanged {
		data = append(data, anotherOwner)
	} else {
		data = append(data, sameOwner)
	}
	data = append(data, hash[:]...)
	if s.To.Foreign() {
		data = append(data, s.To.Name()...)
	}
	return data
}

// ParseStub tells whether data is a stub. One that this program does not know
// counts as "ended".
func ParseStub(data []byte) (s Stub, ok bool) {
	rest, ok := bytes.CutPrefix(data, stubMagic)
	if !ok {
		return Stub{}, false
	}
	if len(rest) < 9 {
		return Stub{}, true
	}
	kind, rest := rest[0], rest[1:]
	s.At = time.UnixMilli(int64(binary.BigEndian.Uint64(rest)))
	s.Revoked = kind == kindRevoked
	if rest = rest[8:]; kind == kindMoved && len(rest) >= 1+len(stores.Key{}.Hash()) {
		hash, name := [24]byte(rest[1:]), string(rest[25:])
		to := stores.NewKey(hash)
		if name != "" {
			to = stores.ForeignKey(name)
		}
		if to.Hash() == hash {
			s.To, s.OwnerChanged = to, rest[0] != sameOwner
		}
	}
	return s, true
}
