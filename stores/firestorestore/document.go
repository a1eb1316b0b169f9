package firestorestore

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// The fields of a document.
const (
	fieldData   = "data"
	fieldMark   = "mark"
	fieldExpire = "expire"
)

// maxDocument is the published limit of a document, in bytes (Firestore, "Usage
// and limits").
const maxDocument = 1 << 20

// maxCollection is the published limit of an ID, 1500 bytes, less what the names
// of the owners' collections have behind.
const maxCollection = 1500 - len(suffixEntries)

// checkCollection refuses names that Firestore would refuse with every request
// ("Constraints on collection IDs"), and paths.
func checkCollection(name string) error {
	switch {
	case name == "" || len(name) > maxCollection || !utf8.ValidString(name):
		return fmt.Errorf("the name must be 1 to %d bytes of UTF-8", maxCollection)
	case strings.Contains(name, "/"):
		return errors.New("the name must be that of a top-level collection, without slashes")
	case name == "." || name == ".." || len(name) >= 4 && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__"):
		return errors.New("the name is reserved by Firestore")
	}
	return nil
}

// checkSize computes a document's size by the published rules (Firestore,
// "Storage size calculations"): every string takes one byte more than its
// length, a name and a document have a constant part.
func checkSize(doc *firestore.DocumentRef, data []byte) error {
	name := len(doc.Parent.ID) + 1 + len(doc.ID) + 1 + 16
	fields := len(fieldData) + 1 + len(data) + len(fieldMark) + 1 + 2*markSize + len(fieldExpire) + 1 + 8
	if size := name + fields + 32; size > maxDocument {
		return fmt.Errorf("%w: the document would have %d bytes, Firestore allows %d; keep less in the session",
			stores.ErrTooLarge, size, maxDocument)
	}
	return nil
}

// read returns the document's state and data, whether it is live or expired, or
// stores.ErrNotFound.
func (c *call) read() (state, []byte, error) {
	// Not DocumentRef.Get: its NotFound for a missing document looks like
	// the one for a missing database, which is not "no session".
	snaps, err := c.client.GetAll(c.ctx, []*firestore.DocumentRef{c.doc})
	if err != nil {
		return state{}, nil, err
	}
	if !snaps[0].Exists() {
		return state{}, nil, stores.ErrNotFound
	}
	found, data, err := parse(snaps[0])
	if err != nil {
		err = fmt.Errorf("%w: the document %s was not written by this store, or was changed: %w", stores.ErrUnavailable, c.doc.ID, err)
	}
	return found, data, err
}

func parse(snap *firestore.DocumentSnapshot) (state, []byte, error) {
	data, err := field[[]byte](snap, fieldData)
	if err != nil {
		return state{}, nil, err
	}
	mark, err := field[[]byte](snap, fieldMark)
	if err != nil {
		return state{}, nil, err
	}
	expire, err := field[time.Time](snap, fieldExpire)
	if err != nil {
		return state{}, nil, err
	}
	if len(mark) != 2*markSize {
		return state{}, nil, fmt.Errorf("the field %q has %d bytes, not %d", fieldMark, len(mark), 2*markSize)
	}
	return state{
		mark:    [markSize]byte(mark),
		before:  [markSize]byte(mark[markSize:]),
		updated: snap.UpdateTime.UnixNano(),
		expires: expire.UnixMicro(),
	}, data, nil
}

// field returns a field that must be there with exactly this type. It does not
// use Data, which panics on values that the client does not know, nor DataTo,
// which takes null for a zero value.
func field[T any](snap *firestore.DocumentSnapshot, name string) (T, error) {
	var zero T
	v, err := snap.DataAt(name)
	if err != nil {
		return zero, err
	}
	typed, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("the field %q is of type %T, not %T", name, v, zero)
	}
	return typed, nil
}

// add creates the document, on the precondition that there is none.
func (c *call) add(next state, data []byte) (state, error) {
	result, err := c.doc.Create(c.ctx, map[string]any{
		fieldData:   data,
		fieldMark:   append(next.mark[:], make([]byte, markSize)...),
		fieldExpire: time.UnixMicro(next.expires),
	})
	return written(next, result, err)
}

// update replaces the document's fields, on the precondition that its state is
// base.
func (c *call) update(next state, data []byte, base state) (state, error) {
	result, err := c.doc.Update(c.ctx, []firestore.Update{
		{Path: fieldData, Value: data},
		{Path: fieldMark, Value: append(next.mark[:], base.mark[:]...)},
		{Path: fieldExpire, Value: time.UnixMicro(next.expires)},
	}, base.precondition())
	return written(next, result, err)
}

// touch moves the document's expiry, on the precondition that its state is base.
func (c *call) touch(base state, expires int64) (state, error) {
	result, err := c.doc.Update(c.ctx, []firestore.Update{
		{Path: fieldExpire, Value: time.UnixMicro(expires)},
	}, base.precondition())
	return written(state{mark: base.mark, expires: expires}, result, err)
}

// written returns what the document's state is after a write of next.
func written(next state, result *firestore.WriteResult, err error) (state, error) {
	if err != nil {
		return state{}, err
	}
	next.updated = result.UpdateTime.UnixNano()
	return next, nil
}
