package firestorestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/stores"
)

const (
	// DefaultCollection is the collection without [WithCollection].
	DefaultCollection = "sessions"

	// DefaultTimeout is the time limit without [WithTimeout]. The client's
	// own is 60 s, retries included, which is longer than anybody waits for
	// a page.
	DefaultTimeout = 3 * time.Second
)

// Store is a [stores.Store] and a [stores.Toucher] in Firestore. It is safe for
// concurrent use. The zero Store is not usable; see [New].
type Store struct {
	client *firestore.Client
	options
}

var (
	_ stores.Store     = (*Store)(nil)
	_ stores.Toucher   = (*Store)(nil)
	_ stores.Describer = (*Store)(nil)
)

// Option changes what [New] makes.
type Option func(*options) error

// options, and not the Store, are what an Option changes, so that none can be
// applied to a store that is running.
type options struct {
	collection string
	timeout    time.Duration
}

// WithCollection keeps the sessions in the top-level collection name, in place
// of [DefaultCollection]. The TTL policy goes by that name too.
func WithCollection(name string) Option {
	return func(o *options) error {
		if err := checkCollection(name); err != nil {
			return fmt.Errorf("firestorestore: WithCollection(%q): %w", name, err)
		}
		o.collection = name
		return nil
	}
}

// WithTimeout limits each call of a method to d, retries included, in place of
// [DefaultTimeout]. A context with an earlier deadline ends it earlier.
func WithTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("firestorestore: WithTimeout(%v): the limit must be positive; leave it out for %v", d, DefaultTimeout)
		}
		o.timeout = d
		return nil
	}
}

// New returns a store in client's database. It does no I/O. The caller keeps the
// client and closes it.
func New(client *firestore.Client, opts ...Option) (*Store, error) {
	if client == nil {
		return nil, errors.New("firestorestore: the client is nil; make one with firestore.NewClient")
	}
	o := options{collection: DefaultCollection, timeout: DefaultTimeout}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	return &Store{client, o}, nil
}

// Describe implements [stores.Describer].
func (s *Store) Describe() stores.Info { return stores.Info{Name: "firestore"} }

// Load implements [stores.Store]. It costs one read. A document that this store
// cannot have written is [stores.ErrUnavailable], not an empty session.
func (s *Store) Load(ctx context.Context, tok stores.Token) (stores.Record, error) {
	c, cancel := s.begin(ctx, tok)
	defer cancel()
	found, data, err := c.read()
	if err == nil && !found.live() {
		err = stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, c.explain(err)
	}
	return stores.Record{Data: data, Expires: time.UnixMicro(found.expires), Revision: found.revision()}, nil
}

// Save implements [stores.Store]. It costs one write. Data that would make the
// document larger than Firestore's 1 MiB is [stores.ErrTooLarge]; nothing is
// sent then.
func (s *Store) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return stores.Token{}, "", err
	}
	c, cancel := s.begin(ctx, tok)
	defer cancel()
	if err := checkSize(c.doc, rec.Data); err != nil {
		return stores.Token{}, "", err
	}
	next := newState(rec.Expires)
	var saved state
	var err error
	if rec.Revision == "" {
		saved, err = c.create(next, rec.Data)
	} else {
		saved, err = c.replace(parseRevision(rec.Revision), replacement{
			write: func(base state) (state, error) { return c.update(next, rec.Data, base) },
			wrote: next.wrote,
		})
	}
	if err != nil {
		return stores.Token{}, "", c.explain(err)
	}
	tok.Payload = "" // the client holds only the ID
	return tok, saved.revision(), nil
}

// Touch implements [stores.Toucher]. It costs one write, of expire alone. The
// revision changes, because the document's update time does. The one before stays
// good, since the data is the same, at the cost of a read and a second write.
func (s *Store) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	c, cancel := s.begin(ctx, tok)
	defer cancel()
	until := expires.UnixMicro()
	base := parseRevision(rev)
	touched, err := c.replace(base, replacement{
		write: func(base state) (state, error) { return c.touch(base, max(base.expires, until)) },
		wrote: func(found state) (state, bool) { return found, found.mark == base.mark && found.expires >= until },
	})
	if err != nil {
		return "", c.explain(err)
	}
	return touched.revision(), nil
}

// Delete implements [stores.Store]. It costs one delete. Where a delete of a
// revision was applied but its reply lost, and the client retried, the answer is
// [stores.ErrNotFound].
func (s *Store) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	c, cancel := s.begin(ctx, tok)
	defer cancel()
	if rev == "" {
		_, err := c.doc.Delete(c.ctx)
		return c.explain(err)
	}
	_, err := c.replace(parseRevision(rev), replacement{
		write: func(base state) (state, error) {
			_, err := c.doc.Delete(c.ctx, base.precondition())
			return state{}, err
		},
		wrote: func(state) (state, bool) { return state{}, false },
	})
	return c.explain(err)
}
