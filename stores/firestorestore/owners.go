package firestorestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/stores"
)

var _ stores.OwnerIndex = (*Store)(nil)

// The collections for owners, behind the name of the sessions' own.
const (
	suffixOwners  = "_owners"
	suffixEntries = "_entries"
)

const fieldEpoch = "epoch"

const (
	// ownerPage is how many entries one query asks for, and how many records
	// one call.
	ownerPage = 500

	// ownerBatch is how many sessions one commit removes, each of which is two
	// documents: Firestore takes 500 writes in a commit.
	ownerBatch = 250
)

// ownerDoc returns the document of an owner's epoch, beneath which the entries
// are. It need not exist for them to be there.
func (s *Store) ownerDoc(owner stores.OwnerKey) *firestore.DocumentRef {
	return s.client.Collection(s.collection + suffixOwners).Doc("o" + owner.String())
}

func (s *Store) entries(owner stores.OwnerKey) *firestore.CollectionRef {
	return s.ownerDoc(owner).Collection(s.collection + suffixEntries)
}

// AddEntry implements [stores.OwnerIndex]. It costs one write.
func (s *Store) AddEntry(ctx context.Context, owner stores.OwnerKey, e stores.Entry) error {
	c, cancel := s.start(ctx, s.entries(owner).Doc("s"+e.Key.String()))
	defer cancel()
	_, err := c.doc.Set(c.ctx, map[string]any{fieldData: e.Data, fieldExpire: e.Deadline})
	return c.explain(err)
}

// Entries implements [stores.OwnerIndex]. It costs two reads for each entry, of
// the entry and of its record, and a delete for each that leaves the list because
// it has none.
func (s *Store) Entries(ctx context.Context, owner stores.OwnerKey) ([]stores.Entry, error) {
	// Ordered by the time by which it selects, so that Firestore's own index of
	// one field is enough, and what is past costs nothing.
	query := s.entries(owner).Where(fieldExpire, ">", time.Now()).OrderBy(fieldExpire, firestore.Asc).Limit(ownerPage)
	var list []stores.Entry
	for next := query; ; {
		page, last, err := s.entriesPage(ctx, next)
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if last == nil {
			return list, nil
		}
		next = query.StartAfter(last)
	}
}

// entriesPage returns the entries that a query finds, with their records' expiry,
// and the last document if there may be more. It removes those that have had no
// record for too long.
func (s *Store) entriesPage(ctx context.Context, query firestore.Query) (page []stores.Entry, last *firestore.DocumentSnapshot, err error) {
	c, cancel := s.start(ctx, nil)
	defer cancel()
	var docs []*firestore.DocumentSnapshot
	for range attempts { // the client repeats every other call itself
		if docs, err = query.Documents(c.ctx).GetAll(); status.Code(err) != codes.Unavailable {
			break
		}
	}
	if err != nil || len(docs) == 0 {
		return nil, nil, c.explain(err)
	}
	if len(docs) == ownerPage {
		last = docs[len(docs)-1]
	}
	page = make([]stores.Entry, len(docs))
	records := make([]*firestore.DocumentRef, len(docs))
	for i, doc := range docs {
		if page[i], err = parseEntry(doc); err != nil {
			return nil, nil, fmt.Errorf("%w: the entry %s of an owner was not written by this store, or was changed: %w", stores.ErrUnavailable, doc.Ref.ID, err)
		}
		records[i] = s.record(page[i].Key)
	}
	found, err := c.client.GetAll(c.ctx, records)
	if err != nil {
		return nil, nil, c.explain(err)
	}
	var orphans []*firestore.DocumentRef
	kept := page[:0]
	for i, doc := range found { // in the order of records
		e := page[i]
		// Beside others, a document that is no record is no reason to fail.
		var st state
		var err error
		if doc.Exists() {
			st, _, err = parse(doc)
		}
		switch {
		case err != nil:
		case doc.Exists() && st.live():
			e.Expires = time.UnixMicro(st.expires)
		case docs[i].ReadTime.Sub(e.Added) > stores.OrphanAge:
			orphans = append(orphans, docs[i].Ref)
			continue
		}
		kept = append(kept, e)
	}
	c.removeOrphans(orphans)
	return kept, last, nil
}

// removeOrphans removes entries, as well as it can: who reads the list next does
// it again.
func (c *call) removeOrphans(entries []*firestore.DocumentRef) {
	if len(entries) == 0 {
		return
	}
	writes := c.client.Batch() // as in RemoveOwned
	for _, doc := range entries {
		writes.Delete(doc)
	}
	writes.Commit(c.ctx)
}

func parseEntry(doc *firestore.DocumentSnapshot) (e stores.Entry, err error) {
	if e.Data, err = field[[]byte](doc, fieldData); err != nil {
		return e, err
	}
	if e.Deadline, err = field[time.Time](doc, fieldExpire); err != nil {
		return e, err
	}
	id := doc.Ref.ID
	if len(id) != 1+revisionText.EncodedLen(len(e.Key)) {
		return e, errors.New("its ID is not a session's")
	}
	e.Added = doc.CreateTime
	_, err = revisionText.Decode(e.Key[:], []byte(id[1:]))
	return e, err
}

// RemoveOwned implements [stores.OwnerIndex]. It costs two deletes for each key.
// A session's record and entry go together; the time limit is for every 250.
func (s *Store) RemoveOwned(ctx context.Context, owner stores.OwnerKey, keys ...stores.Key) error {
	entries := s.entries(owner)
	for batch := range slices.Chunk(keys, ownerBatch) {
		c, cancel := s.start(ctx, nil)
		// The client would rather have a BulkWriter used, which is not atomic
		// and begins slowly, or a transaction, which takes a round trip more.
		writes := c.client.Batch()
		for _, key := range batch {
			writes.Delete(s.record(key)).Delete(entries.Doc("s" + key.String()))
		}
		_, err := writes.Commit(c.ctx)
		err = c.explain(err)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// Epoch implements [stores.OwnerIndex]. It costs one read.
//
// The update time is part of the epoch, because the client repeats a write whose
// reply was lost. If another came between, the repetition writes an older mark;
// but the epoch is a new one, and does not bring back what the other has ended.
func (s *Store) Epoch(ctx context.Context, owner stores.OwnerKey) (string, error) {
	c, cancel := s.start(ctx, s.ownerDoc(owner))
	defer cancel()
	docs, err := c.client.GetAll(c.ctx, []*firestore.DocumentRef{c.doc})
	if err != nil {
		return "", c.explain(err)
	}
	if !docs[0].Exists() {
		return "", nil
	}
	mark, err := field[string](docs[0], fieldEpoch)
	if err != nil {
		return "", fmt.Errorf("%w: the document %s of an owner was not written by this store, or was changed: %w", stores.ErrUnavailable, c.doc.ID, err)
	}
	return strconv.FormatInt(docs[0].UpdateTime.UnixMicro(), 36) + "." + mark, nil
}

// NewEpoch implements [stores.OwnerIndex]. It costs one write.
func (s *Store) NewEpoch(ctx context.Context, owner stores.OwnerKey) error {
	c, cancel := s.start(ctx, s.ownerDoc(owner))
	defer cancel()
	_, err := c.doc.Set(c.ctx, map[string]any{fieldEpoch: rand.Text(), fieldExpire: time.Now().Add(stores.MinEpochAge)})
	return c.explain(err)
}
