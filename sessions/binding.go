package sessions

import (
	"encoding/binary"

	"github.com/bulla-go/bulla/stores"
)

// The domains of a binding. They differ so that bytes from one place never open
// in another: who can write to the store can't put there what a client holds,
// and the other way round.
const (
	serverDomain = "bulla record on a server"
	clientDomain = "bulla record in a cookie"
	copyDomain   = "bulla copy in a cookie"
)

// bindings makes the bindings of one application's cookie: the domain, the
// audience, the token's name and the session's ID, each behind its length, so
// that no two different lists give the same bytes.
type bindings struct{ server, client, copy []byte }

func newBindings(audience, name string) bindings {
	return bindings{
		server: bindingPrefix(serverDomain, audience, name),
		client: bindingPrefix(clientDomain, audience, name),
		copy:   bindingPrefix(copyDomain, audience, name),
	}
}

func bindingPrefix(domain, audience, name string) []byte {
	var b []byte
	for _, s := range []string{domain, audience, name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// idSize is the length of an ID; [stores.ID.AppendSecret] gives as much.
const idSize = 24

func bind(prefix []byte, id stores.ID) []byte {
	b := make([]byte, 0, len(prefix)+1+idSize)
	b = append(b, prefix...)
	b = append(b, idSize)
	return id.AppendSecret(b)
}
