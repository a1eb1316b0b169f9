package firestorestore

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// Load implements [stores.Server]. It costs one read, which is always answered
// by Firestore itself. A document that this store can't have written is
// [stores.ErrUnavailable], not an empty session.
func (s *Store) Load(ctx context.Context, key stores.Key, _ stores.Freshness) (stores.Record, error) {
	c, cancel := s.begin(ctx, s.record(key))
	defer cancel()
	rec, err := c.read()
	if err == nil && !live(rec) {
		err = stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, err
	}
	return rec, nil
}

// Save implements [stores.Server]. It costs one write. Where there is an expired
// document that the TTL policy has not removed yet, a create costs a read and a
// second write. Data that would make the document larger than Firestore's 1 MiB
// is [stores.ErrTooLarge]; nothing is sent then.
func (s *Store) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	doc := s.record(key)
	if err := check(doc, rec); err != nil {
		return "", err
	}
	if expired(rec.Revision) {
		return "", stores.ErrConflict
	}
	c, cancel := s.begin(ctx, doc)
	defer cancel()
	var result *firestore.WriteResult
	var err error
	if rec.Revision == "" {
		if result, err = doc.Create(c.ctx, fields(rec)); refused(err) {
			rec.Revision, err = c.expiredAt(err)
		}
	}
	if rec.Revision != "" && err == nil {
		result, err = doc.Update(c.ctx, updates(rec), parseRevision(rec.Revision).precondition())
	}
	if err != nil {
		return "", c.refusal(err)
	}
	return revision(result.UpdateTime, rec.Expires), nil
}

// expired tells whether there can't be a live record at rev: Firestore would
// write over an expired document too.
func expired(rev stores.Revision) bool { return rev != "" && !parseRevision(rev).live() }

// expiredAt returns the revision of the expired document because of which a
// Create was refused, and that the TTL policy has not removed yet.
func (c *call) expiredAt(refusal error) (stores.Revision, error) {
	found, err := c.read()
	switch {
	case err != nil:
		return "", err
	case live(found):
		return "", stores.ErrConflict
	case found.Revision == "":
		return "", unavailable(refusal) // there is nothing that it can be about
	}
	return found.Revision, nil
}

// Put implements [stores.Server]. It costs one write.
func (s *Store) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	doc := s.record(key)
	if err := check(doc, rec); err != nil {
		return err
	}
	c, cancel := s.begin(ctx, doc)
	defer cancel()
	_, err := doc.Set(c.ctx, fields(rec))
	return c.explain(err)
}

// Touch implements [stores.Toucher]. It costs one write, of expire alone. The
// revision changes, because the document's update time does.
func (s *Store) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	base := parseRevision(rev)
	if !base.live() {
		return "", stores.ErrConflict
	}
	if until := time.UnixMicro(base.expires); expires.Before(until) {
		expires = until
	}
	c, cancel := s.begin(ctx, s.record(key))
	defer cancel()
	result, err := c.doc.Update(c.ctx, []firestore.Update{{Path: fieldExpire, Value: expires}}, base.precondition())
	if err != nil {
		return "", c.refusal(err)
	}
	return revision(result.UpdateTime, expires), nil
}
