package firestorestore

import (
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

// Store keeps sessions in Firestore. Besides the methods of [stores.Server] it
// has those of [stores.Toucher], [stores.Batcher] and [stores.OwnerIndex]. It is
// safe for concurrent use. The zero Store is not usable; see [New].
type Store struct {
	client *firestore.Client
	options
}

var (
	_ stores.Store      = (*Store)(nil)
	_ stores.Server     = (*Store)(nil)
	_ stores.Toucher    = (*Store)(nil)
	_ stores.Batcher    = (*Store)(nil)
	_ stores.OwnerIndex = (*Store)(nil)
)

type options struct {
	collection string
	timeout    time.Duration
}

// Option changes what [New] makes.
type Option func(*options) error

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
// [DefaultTimeout]. A context with an earlier deadline ends it earlier. Where a
// call is about many records or entries, the limit is for every 500.
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
		if opt == nil {
			return nil, errors.New("firestorestore: an Option is nil; leave it out")
		}
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	return &Store{client, o}, nil
}

// Place implements [stores.Store].
func (s *Store) Place() stores.Place { return stores.Place{Name: "firestore", Server: s} }
