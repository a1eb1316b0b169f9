package firestorestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

// Shared is a [stores.Server] of documents that another system writes too, as
// aiohttp-session-firestore does: the document's ID is the session's, in the clear; the
// field data is a text, the record; expire is a timestamp, or is missing. The packages of
// interop make one; most users won't need it. It is safe for concurrent use, and the
// zero Shared is not usable.
//
// An empty text and an empty JSON object are no record. The end of a record is the
// latter, with the manager's note in the field bulla, which a system that writes the
// whole document drops.
type Shared struct {
	store   *Store
	forever time.Duration
}

var (
	_ stores.Server  = (*Shared)(nil)
	_ stores.Toucher = (*Shared)(nil)
)

// fieldNote has the note of an end, which begins so.
const (
	fieldNote  = "bulla"
	notePrefix = "\x00bulla stub\x00"
	noRecord   = "{}"
)

// never is the expiry in the revision of a document that has none.
var never = time.UnixMicro(1 << 52)

// NewShared returns a server of shared documents in client's database. They are in
// collection, unless [WithCollection] says otherwise. One without expire counts as one
// that lives for as long as forever says, until it is written here.
func NewShared(client *firestore.Client, collection string, forever time.Duration, opts ...Option) (*Shared, error) {
	if forever <= 0 {
		return nil, fmt.Errorf("firestorestore: a document without expire can't count as one that lives for %v; give a positive time", forever)
	}
	s, err := New(client, append([]Option{WithCollection(collection)}, opts...)...)
	if err != nil {
		return nil, err
	}
	return &Shared{s, forever}, nil
}

// IsEnd tells whether what was loaded is the note of an end, and no record.
func (s *Shared) IsEnd(data []byte) bool { return bytes.HasPrefix(data, []byte(notePrefix)) }

// document returns a key's document. An ID that could be a path, or that Firestore
// reserves, names none.
func (s *Shared) document(key stores.Key) (*firestore.DocumentRef, error) {
	doc := s.store.client.Collection(s.store.collection).Doc(key.Name())
	if doc == nil || checkCollection(key.Name()) != nil {
		return nil, errors.New("firestorestore: no document can have this ID")
	}
	return doc, nil
}

// hidden is an error whose text does not tell a document's ID: Firestore's name the
// document, and who has the ID is logged in.
type hidden struct {
	error
	id string
}

func (h hidden) Error() string { return strings.ReplaceAll(h.error.Error(), h.id, "(its ID)") }
func (h hidden) Unwrap() error { return h.error }

func hide(key stores.Key, err *error) {
	if *err != nil && strings.Contains((*err).Error(), key.Name()) {
		*err = hidden{*err, key.Name()}
	}
}

// shared is a document as it was read.
type shared struct {
	rec    stores.Record
	exists bool
	live   bool // there is a record, or the note of an end, that has not expired
}

func (s *Shared) read(c *call) (shared, error) {
	snaps, err := c.client.GetAll(c.ctx, []*firestore.DocumentRef{c.doc}) // not Get, for the reason that readAll gives
	if err != nil {
		return shared{}, c.explain(err)
	}
	snap := snaps[0]
	if !snap.Exists() {
		return shared{}, nil
	}
	text, _ := value[string](snap, fieldData)
	note, ended := value[[]byte](snap, fieldNote)
	expire, ok := value[time.Time](snap, fieldExpire)
	got := shared{exists: true, rec: stores.Record{Data: []byte(text), Expires: expire, Revision: revision(snap.UpdateTime, expire)}}
	if !ok {
		got.rec.Expires = time.Now().Add(s.forever)
		got.rec.Revision = revision(snap.UpdateTime, never)
	}
	if ended = ended && text == noRecord; ended {
		got.rec.Data = note
	}
	got.live = live(got.rec) && (ended || text != "" && text != noRecord)
	return got, nil
}

// Load implements [stores.Server]. It costs one read.
func (s *Shared) Load(ctx context.Context, key stores.Key, _ stores.Freshness) (rec stores.Record, err error) {
	defer hide(key, &err)
	doc, err := s.document(key)
	if err != nil {
		return stores.Record{}, stores.ErrNotFound
	}
	c, cancel := s.store.begin(ctx, doc)
	defer cancel()
	got, err := s.read(c)
	if err == nil && !got.live {
		err = stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, err
	}
	return got.rec, nil
}

// value returns a field, and false where it is missing or of another type. Like [field] it
// does not use Data, which panics on what others may have written beside it.
func value[T any](snap *firestore.DocumentSnapshot, name string) (T, bool) {
	v, err := snap.DataAt(name)
	typed, ok := v.(T)
	return typed, ok && err == nil
}

// values returns what a document holds.
func (s *Shared) values(rec stores.Record) (text string, note any, err error) {
	if s.IsEnd(rec.Data) {
		return noRecord, rec.Data, nil
	}
	if !utf8.Valid(rec.Data) {
		return "", nil, fmt.Errorf("%w: it is no text", stores.ErrInvalidRecord)
	}
	return string(rec.Data), firestore.Delete, nil
}

// prepare checks a write.
func (s *Shared) prepare(key stores.Key, rec stores.Record) (doc *firestore.DocumentRef, text string, note any, err error) {
	if doc, err = s.document(key); err != nil {
		return nil, "", nil, fmt.Errorf("%w: %w", stores.ErrInvalidRecord, err)
	}
	if err = stores.CheckExpires(rec); err == nil {
		err = checkSize(doc, rec.Data, fieldNote)
	}
	if err == nil {
		text, note, err = s.values(rec)
	}
	return doc, text, note, err
}

// Save implements [stores.Server]. It costs one write; a create where there is an
// expired document costs a read and a second write.
func (s *Shared) Save(ctx context.Context, key stores.Key, rec stores.Record) (rev stores.Revision, err error) {
	defer hide(key, &err)
	doc, text, note, err := s.prepare(key, rec)
	if err != nil {
		return "", err
	}
	if expired(rec.Revision) {
		return "", stores.ErrConflict
	}
	c, cancel := s.store.begin(ctx, doc)
	defer cancel()
	var result *firestore.WriteResult
	if rec.Revision == "" {
		fields := map[string]any{fieldData: text, fieldExpire: rec.Expires}
		if note != firestore.Delete {
			fields[fieldNote] = note
		}
		if result, err = doc.Create(c.ctx, fields); refused(err) {
			got, readErr := s.read(c)
			switch {
			case readErr != nil:
				return "", readErr
			case got.live:
				return "", stores.ErrConflict
			case !got.exists:
				return "", unavailable(err)
			}
			rec.Revision, err = got.rec.Revision, nil
		}
	}
	if rec.Revision != "" && err == nil {
		result, err = doc.Update(c.ctx, []firestore.Update{
			{Path: fieldData, Value: text}, {Path: fieldExpire, Value: rec.Expires}, {Path: fieldNote, Value: note},
		}, parseRevision(rec.Revision).precondition())
	}
	if err != nil {
		return "", s.refusal(c, err)
	}
	return revision(result.UpdateTime, rec.Expires), nil
}

// refusal is that of call, for documents of this form.
func (s *Shared) refusal(c *call, err error) error {
	if !refused(err) {
		return c.explain(err)
	}
	if _, err := s.read(c); err != nil { // a missing database looks like a missing document
		return err
	}
	return stores.ErrConflict
}

// Put implements [stores.Server]. It costs one write.
func (s *Shared) Put(ctx context.Context, key stores.Key, rec stores.Record) (err error) {
	defer hide(key, &err)
	doc, text, note, err := s.prepare(key, rec)
	if err != nil {
		return err
	}
	c, cancel := s.store.begin(ctx, doc)
	defer cancel()
	fields := map[string]any{fieldData: text, fieldExpire: rec.Expires}
	if note != firestore.Delete {
		fields[fieldNote] = note
	}
	_, err = doc.Set(c.ctx, fields)
	return c.explain(err)
}

// Touch implements [stores.Toucher]. It costs one write, of expire alone.
func (s *Shared) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (touched stores.Revision, err error) {
	defer hide(key, &err)
	base := parseRevision(rev)
	doc, err := s.document(key)
	if err != nil || !base.live() {
		return "", stores.ErrConflict
	}
	if until := time.UnixMicro(base.expires); expires.Before(until) && !until.Equal(never) {
		expires = until
	}
	c, cancel := s.store.begin(ctx, doc)
	defer cancel()
	result, err := doc.Update(c.ctx, []firestore.Update{{Path: fieldExpire, Value: expires}}, base.precondition())
	if err != nil {
		return "", s.refusal(c, err)
	}
	return revision(result.UpdateTime, expires), nil
}

// Retire lets a record live for d at most, from now: one that has moved elsewhere. It
// never lengthens a life, and where there is no record it does nothing.
func (s *Shared) Retire(ctx context.Context, key stores.Key, d time.Duration) (err error) {
	defer hide(key, &err)
	doc, err := s.document(key)
	if err != nil {
		return nil
	}
	c, cancel := s.store.begin(ctx, doc)
	defer cancel()
	for range attempts {
		got, err := s.read(c)
		end := time.Now().Add(d)
		if err != nil || !got.live || !got.rec.Expires.After(end) {
			return err
		}
		_, err = doc.Update(c.ctx, []firestore.Update{{Path: fieldExpire, Value: end}}, parseRevision(got.rec.Revision).precondition())
		if err == nil || !refused(err) {
			return c.explain(err)
		}
	}
	return fmt.Errorf("%w: others kept changing the document", stores.ErrUnavailable)
}
