package firestorestore

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

const markSize = 16

// state is one state of a document, and what a Revision says. Every write has
// its own update time, which Firestore can compare; the mark, which stays when
// only the expiry moves, tells whose save it was; and the expiry must be known
// for a write that must neither bring an expired session back nor shorten a live
// one, and that must not read first.
//
// The zero state is none that a document can have.
type state struct {
	mark    [markSize]byte
	before  [markSize]byte // the mark of the save before; not in a Revision
	updated int64          // Unix time in nanoseconds, as Firestore gave it; 0: not known
	expires int64          // Unix time in microseconds, as Firestore keeps it
}

// newState returns the state of a save, but for its update time.
func newState(expires time.Time) state {
	st := state{expires: expires.UnixMicro()}
	rand.Read(st.mark[:])
	return st
}

// wrote tells from the document's state whether the save of st was carried out,
// and returns what its revision is. Where another save has replaced it, that is
// one to conflict with: st, whose update time nobody knows.
func (st state) wrote(found state) (state, bool) {
	switch st.mark {
	case found.mark:
		return found, true
	case found.before:
		return st, true
	}
	return state{}, false
}

func (st state) live() bool { return st.expires > time.Now().UnixMicro() }

func (st state) precondition() firestore.Precondition {
	return firestore.LastUpdateTime(time.Unix(0, st.updated))
}

const stateSize = markSize + 8 + 8

var revisionText = base64.RawURLEncoding.Strict()

func (st state) revision() stores.Revision {
	b := make([]byte, 0, stateSize)
	b = append(b, st.mark[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(st.updated))
	b = binary.BigEndian.AppendUint64(b, uint64(st.expires))
	return stores.Revision(revisionText.EncodeToString(b))
}

// parseRevision returns the zero state for a text that is no revision of this
// store's: it is then compared with the document's, and differs.
func parseRevision(rev stores.Revision) state {
	var b [stateSize]byte
	if len(rev) != revisionText.EncodedLen(stateSize) { // the decoder skips line ends
		return state{}
	}
	if n, err := revisionText.Decode(b[:], []byte(rev)); err != nil || n != stateSize {
		return state{}
	}
	return state{
		mark:    [markSize]byte(b[:]),
		updated: int64(binary.BigEndian.Uint64(b[markSize:])),
		expires: int64(binary.BigEndian.Uint64(b[markSize+8:])),
	}
}
