// Package firestoresessions shares live sessions with Python's
// aiohttp-session-firestore. What package aiohttpsession says of its sessions holds here;
// it is a package of its own so that only who needs it builds the Firestore client.
//
// A session is a document of the collection aiohttp_sessions, under its ID in the clear.
// A change replaces it only where it is still the one that was read; aiohttp-session
// writes without looking, so of two changes at once the later of its own wins, and one
// that crosses a logout here brings the session back.
package firestoresessions

import (
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/interop/internal/aiohttp"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

const (
	// CookieName is the name of the cookie, unless it is told otherwise: the one that
	// Firebase Hosting passes on.
	CookieName = "__session"

	// Collection has the sessions, unless firestorestore.WithCollection says otherwise.
	Collection = "aiohttp_sessions"

	// forever is for how long a document counts that has no expiry.
	forever = 400 * 24 * time.Hour
)

// Store is a place where aiohttp-session-firestore keeps sessions, for [New]. It is safe
// for concurrent use; the zero Store is refused.
type Store struct {
	server *firestorestore.Shared
}

// Firestore returns the sessions in client's database. The options are those of
// firestorestore.
func Firestore(client *firestore.Client, opts ...firestorestore.Option) (*Store, error) {
	server, err := firestorestore.NewShared(client, Collection, forever, opts...)
	if err != nil {
		return nil, fmt.Errorf("firestoresessions: %w", err)
	}
	return &Store{server}, nil
}

// Config is how the Python side's storage is configured.
type Config struct {
	// MaxAge is its max_age, in whole seconds: how long a session lives after its last
	// change. 0 is None; a session that is not changed lives for 400 days here then.
	MaxAge time.Duration
}

// New returns a middleware whose sessions aiohttp-session-firestore shares. What c says is
// set, and the cookie's name to [CookieName]; opts come after. What can't be shared is an
// error that wraps [sessions.ErrConfig].
func New(store *Store, c Config, opts ...middleware.Option) (*middleware.Middleware, error) {
	p, err := newPlace(store, c)
	if err != nil {
		return nil, err
	}
	mw, err := p.New(append([]middleware.Option{middleware.WithCookieName(CookieName)}, opts...))
	if err != nil {
		return nil, fmt.Errorf("firestoresessions: %w", err)
	}
	return mw, nil
}

func newPlace(store *Store, c Config) (aiohttp.Place, error) {
	switch {
	case store == nil || store.server == nil:
		return aiohttp.Place{}, fmt.Errorf("firestoresessions: %w: the store is nil; use Firestore, and check the error", sessions.ErrConfig)
	case c.MaxAge < 0 || c.MaxAge%time.Second != 0:
		return aiohttp.Place{}, fmt.Errorf("firestoresessions: %w: Config.MaxAge is not in whole seconds, as aiohttp-session has it", sessions.ErrConfig)
	}
	return aiohttp.Place{Name: "aiohttp-session firestore", MaxAge: c.MaxAge, Server: store.server}, nil
}
