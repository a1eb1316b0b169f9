package firestorestore

import (
	"context"
	"slices"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// page is for how many documents the time limit is, and how many one read, query
// or commit is about. Firestore takes 500 writes in a commit.
const page = 500

// commits is how often SaveMany tries to commit the same records. In 500 sessions
// that are in use something may change between any look and the commit after it.
const commits = 10

// maxCommit is the size in bytes from which on a commit takes no further record:
// with the last one, of up to 1 MiB, and all that is around them, it stays below
// the 10 MiB of a request ("Usage and limits").
const maxCommit = 8 << 20

func (s *Store) records(keys []stores.Key) []*firestore.DocumentRef {
	docs := make([]*firestore.DocumentRef, len(keys))
	for i, key := range keys {
		docs[i] = s.record(key)
	}
	return docs
}

// LoadMany implements [stores.Batcher]. It costs one read for each key, and a
// round trip for every 500.
func (s *Store) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	recs := make([]stores.Record, 0, len(keys))
	for docs := range slices.Chunk(s.records(keys), page) {
		c, cancel := s.begin(ctx, nil)
		all, err := c.readAll(docs)
		cancel()
		if err != nil {
			return nil, err
		}
		recs = append(recs, all...)
	}
	for i := range recs {
		if !live(recs[i]) {
			recs[i] = stores.Record{}
		}
	}
	return recs, nil
}

// SaveMany implements [stores.Batcher]. It costs one write for each key, and a
// round trip for every 500. Where there are conflicts among the 500, it costs a
// read for each and two round trips more, since Firestore applies all of a commit
// or nothing.
func (s *Store) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	docs, recs, conflicts := s.records(keys), slices.Clone(recs), make([]bool, len(keys))
	for i, rec := range recs {
		if err := check(docs[i], rec); err != nil {
			return nil, err
		}
		conflicts[i] = expired(rec.Revision)
	}
	for start, end := 0, 0; start < len(recs); start = end {
		for size := 0; end < min(start+page, len(recs)) && size <= maxCommit; end++ {
			size += len(recs[end].Data)
		}
		if err := s.savePage(ctx, docs[start:end], recs[start:end], conflicts[start:end]); err != nil {
			return nil, err
		}
	}
	return conflicts, nil
}

// savePage commits what can be. After a refusal it looks which of them are to
// blame; those that are fought over all the time have a conflict too.
func (s *Store) savePage(ctx context.Context, docs []*firestore.DocumentRef, recs []stores.Record, conflicts []bool) error {
	c, cancel := s.begin(ctx, nil)
	defer cancel()
	for range commits {
		if !slices.Contains(conflicts, false) {
			return nil
		}
		batch := c.client.Batch()
		for i, rec := range recs {
			switch {
			case conflicts[i]:
			case rec.Revision == "":
				batch.Create(docs[i], fields(rec))
			default:
				batch.Update(docs[i], updates(rec), parseRevision(rec.Revision).precondition())
			}
		}
		if _, err := batch.Commit(c.ctx); !refused(err) {
			return c.explain(err)
		}
		all, err := c.readAll(docs)
		if err != nil {
			return err
		}
		for i, found := range all {
			if recs[i].Revision == "" && !live(found) {
				recs[i].Revision = found.Revision // none, or of what has expired
			}
			conflicts[i] = conflicts[i] || found.Revision != recs[i].Revision
		}
	}
	for i := range conflicts {
		conflicts[i] = true
	}
	return nil
}
