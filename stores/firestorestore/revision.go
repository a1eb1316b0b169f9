package firestorestore

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// state is one state of a document, and what a Revision says, in microseconds of
// Unix time, as Firestore keeps it. Every write has its own update time, which
// Firestore can compare. The expiry must be known to a write that must not bring
// an expired session back nor shorten a live one, and that must not read first.
//
// The zero state is one that no document has.
type state struct{ updated, expires int64 }

func (st state) live() bool { return st.expires > time.Now().UnixMicro() }

func (st state) precondition() firestore.Precondition {
	return firestore.LastUpdateTime(time.UnixMicro(st.updated))
}

var revisionText = base64.RawURLEncoding.Strict()

func revision(updated, expires time.Time) stores.Revision {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(updated.UnixMicro()))
	binary.BigEndian.PutUint64(b[8:], uint64(expires.UnixMicro()))
	return stores.Revision(revisionText.EncodeToString(b[:]))
}

// parseRevision returns the zero state for a text that is no revision of this
// store's.
func parseRevision(rev stores.Revision) state {
	var b [16]byte
	if len(rev) != revisionText.EncodedLen(len(b)) { // the decoder skips line ends
		return state{}
	}
	if n, err := revisionText.Decode(b[:], []byte(rev)); err != nil || n != len(b) {
		return state{}
	}
	return state{int64(binary.BigEndian.Uint64(b[:])), int64(binary.BigEndian.Uint64(b[8:]))}
}
