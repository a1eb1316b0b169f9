package record

import (
	"encoding/binary"

	"github.com/bulla-go/bulla/sessions/internal/token"
)

// The domains of a binding. They differ so that bytes from one place never open
// in another: who can write to the store can't put there what a client holds,
// and the other way round.
const (
	serverDomain = "bulla record on a server"
	clientDomain = "bulla record in a cookie"
	copyDomain   = "bulla copy in a cookie"
)

// A Domain says where a record is.
type Domain int

// The domains.
const (
	Server Domain = iota
	Client
	Copy
)

// BindingPrefix begins a binding with the domain, the audience and the token's
// name, each behind its length, so that no two different lists give the same
// bytes.
func BindingPrefix(domain, audience, name string) []byte {
	var b []byte
	for _, s := range []string{domain, audience, name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// idSize is the length of an ID; [token.ID.AppendSecret] gives as much.
const idSize = 24

// binding is what an encryptor binds a record to: the ID is its secret part.
func (s *Sealer) binding(domain Domain, id token.ID) []byte {
	prefix := s.prefixes[domain]
	b := make([]byte, 0, len(prefix)+1+idSize)
	b = append(b, prefix...)
	b = append(b, idSize)
	return id.AppendSecret(b)
}

// SignedBinding is what a store that authenticates what the client holds binds it
// to. It has the hash of the ID, so that nothing in it is secret.
func (s *Sealer) SignedBinding(id token.ID) []byte {
	key := id.Key().Hash()
	b := make([]byte, 0, len(s.prefixes[Client])+1+len(key))
	b = append(b, s.prefixes[Client]...)
	b = append(b, byte(len(key)))
	return append(b, key[:]...)
}
