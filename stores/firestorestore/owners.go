package firestorestore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/stores"
)

// The collections for owners, behind the name of the sessions' own.
const (
	suffixOwners  = "_owners"
	suffixEntries = "_entries"
)

// entries returns the collection of an owner's entries. The document above it
// need not exist.
func (s *Store) entries(owner stores.Key) *firestore.CollectionRef {
	return s.client.Collection(s.collection + suffixOwners).Doc("o" + owner.Name()).Collection(s.collection + suffixEntries)
}

func entry(entries *firestore.CollectionRef, key stores.Key) *firestore.DocumentRef {
	return entries.Doc("s" + key.Name())
}

// AddEntry implements [stores.OwnerIndex]. It costs one write. Where an entry
// without a Number replaces another, it costs a read and two writes, one of
// which is refused and not billed.
//
// The number of an entry is when Firestore created its document, in microseconds
// of Unix time, or, where one was given, in a field of its own.
func (s *Store) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	doc := entry(s.entries(owner), e.Key)
	if err := checkSize(doc, e.Data, fieldNumber); err != nil {
		return 0, err
	}
	c, cancel := s.begin(ctx, doc)
	defer cancel()
	if e.Number != 0 {
		_, err := doc.Set(c.ctx, map[string]any{fieldData: e.Data, fieldExpire: e.Expires, fieldNumber: int64(e.Number)})
		return e.Number, c.explain(err)
	}
	var refusal error
	for range attempts {
		result, err := doc.Create(c.ctx, map[string]any{fieldData: e.Data, fieldExpire: e.Expires})
		if err == nil {
			return uint64(result.UpdateTime.UnixMicro()), nil
		}
		if !refused(err) {
			return 0, c.explain(err)
		}
		refusal = err
		number, err := c.replaceEntry(e)
		if number != 0 || err != nil {
			return number, err
		}
	}
	return 0, c.explain(refusal)
}

// replaceEntry replaces the entry that is there and keeps its number, which it
// returns. 0 tells that it was changed or removed meanwhile.
func (c *call) replaceEntry(e stores.Entry) (uint64, error) {
	snaps, err := c.client.GetAll(c.ctx, []*firestore.DocumentRef{c.doc})
	if err != nil || !snaps[0].Exists() {
		return 0, c.explain(err)
	}
	old, err := parseEntry(snaps[0])
	if err != nil {
		return 0, err
	}
	updates := []firestore.Update{{Path: fieldData, Value: e.Data}, {Path: fieldExpire, Value: e.Expires}}
	var precondition []firestore.Precondition // that there is one, at the least
	if !old.Expires.After(time.Now()) {
		// It has left the list, and needs a new number. Firestore reads later
		// than all that it has written before.
		old.Number = uint64(snaps[0].ReadTime.UnixMicro())
		updates = append(updates, firestore.Update{Path: fieldNumber, Value: int64(old.Number)})
		precondition = append(precondition, firestore.LastUpdateTime(snaps[0].UpdateTime))
	}
	if _, err = c.doc.Update(c.ctx, updates, precondition...); refused(err) {
		return 0, nil
	}
	return old.Number, c.explain(err)
}

// Entries implements [stores.OwnerIndex]. It costs one read for each entry, and a
// round trip for every 500 and for what remains, which is a read too where
// nothing does.
func (s *Store) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	// Ordered by the time by which it selects, so that Firestore's own index of
	// one field is enough, and what is past costs nothing.
	query := s.entries(owner).Where(fieldExpire, ">", time.Now()).OrderBy(fieldExpire, firestore.Asc).Limit(page)
	var list []stores.Entry
	for next := query; ; {
		docs, err := s.query(ctx, next)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			e, err := parseEntry(doc)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		if len(docs) < page {
			return list, nil
		}
		next = query.StartAfter(docs[page-1])
	}
}

func (s *Store) query(ctx context.Context, query firestore.Query) (docs []*firestore.DocumentSnapshot, err error) {
	c, cancel := s.begin(ctx, nil)
	defer cancel()
	for range attempts { // the client repeats every other call itself
		if docs, err = query.Documents(c.ctx).GetAll(); status.Code(err) != codes.Unavailable {
			break
		}
	}
	return docs, c.explain(err)
}

func parseEntry(doc *firestore.DocumentSnapshot) (e stores.Entry, err error) {
	if e.Data, e.Expires, err = parse(doc); err != nil {
		return e, err
	}
	// Both are Firestore's own times.
	e.Age = max(0, doc.ReadTime.Sub(doc.UpdateTime))
	e.Number = uint64(doc.CreateTime.UnixMicro())
	if number, err := field[int64](doc, fieldNumber); err == nil {
		e.Number = uint64(number)
	} else if none := (*firestore.FieldNotFoundError)(nil); !errors.As(err, &none) {
		return e, err
	}
	name, ok := strings.CutPrefix(doc.Ref.ID, "s")
	if e.Key, err = stores.ParseKey(name); !ok || err != nil {
		return e, foreign(doc, errors.New("its ID is not a session's"))
	}
	return e, nil
}

// RemoveEntries implements [stores.OwnerIndex]. It costs one delete for each key,
// and a round trip for every 500.
func (s *Store) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	for keys := range slices.Chunk(keys, page) {
		if err := s.removePage(ctx, s.entries(owner), keys); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) removePage(ctx context.Context, entries *firestore.CollectionRef, keys []stores.Key) error {
	c, cancel := s.begin(ctx, nil)
	defer cancel()
	batch := s.client.Batch()
	for _, key := range keys {
		batch.Delete(entry(entries, key))
	}
	_, err := batch.Commit(c.ctx)
	return c.explain(err)
}
