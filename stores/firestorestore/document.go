package firestorestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// The fields of a document.
const (
	fieldData   = "data"
	fieldExpire = "expire"
	fieldWrite  = "write"  // of a record
	fieldNumber = "number" // of an entry
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

// check refuses what must not be sent.
func check(doc *firestore.DocumentRef, rec stores.Record) error {
	if err := stores.CheckExpires(rec); err != nil {
		return err
	}
	return checkSize(doc, rec.Data, fieldWrite)
}

// checkSize computes the size of a document with data, an expiry and a number, by
// the published rules (Firestore, "Storage size calculations"): every string
// takes one byte more than its length, a name and a document have a constant
// part.
func checkSize(doc *firestore.DocumentRef, data []byte, number string) error {
	size := 16 + 32
	for ; doc != nil; doc = doc.Parent.Parent {
		size += len(doc.Parent.ID) + 1 + len(doc.ID) + 1
	}
	size += len(fieldData) + 1 + len(data) + len(fieldExpire) + 1 + 8 + len(number) + 1 + 8
	if size > maxDocument {
		return fmt.Errorf("%w: the document would have %d bytes, Firestore allows %d; keep less in the session",
			stores.ErrTooLarge, size, maxDocument)
	}
	return nil
}

// fields returns what a new document holds. Firestore leaves the update time of a
// document as it is where a write changes nothing, so that two could have the
// same revision: a random number makes each a change.
func fields(rec stores.Record) map[string]any {
	return map[string]any{fieldData: rec.Data, fieldExpire: rec.Expires, fieldWrite: rand.Int64()}
}

// updates returns the same for a document that is there, and leaves other fields
// alone.
func updates(rec stores.Record) []firestore.Update {
	return []firestore.Update{
		{Path: fieldData, Value: rec.Data}, {Path: fieldExpire, Value: rec.Expires}, {Path: fieldWrite, Value: rand.Int64()},
	}
}

// live tells whether rec, as it was read, has not expired.
func live(rec stores.Record) bool { return rec.Expires.After(time.Now()) }

// parse returns the fields that every document has.
func parse(snap *firestore.DocumentSnapshot) (data []byte, expire time.Time, err error) {
	if data, err = field[[]byte](snap, fieldData); err == nil {
		expire, err = field[time.Time](snap, fieldExpire)
	}
	return data, expire, err
}

// field returns a field that must be there with exactly this type. It does not
// use Data, which panics on values that the client does not know, nor DataTo,
// which takes null for a zero value.
func field[T any](snap *firestore.DocumentSnapshot, name string) (T, error) {
	v, err := snap.DataAt(name)
	typed, ok := v.(T)
	if err == nil && !ok {
		err = fmt.Errorf("the field %q is of type %T, not %T", name, v, typed)
	}
	if err != nil {
		return typed, foreign(snap, err)
	}
	return typed, nil
}

// foreign is the error for a document that this store can't have written.
func foreign(snap *firestore.DocumentSnapshot, err error) error {
	return fmt.Errorf("%w: the document %s was not written by this store, or was changed: %w", stores.ErrUnavailable, snap.Ref.ID, err)
}
