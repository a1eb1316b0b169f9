package starsessions

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// CookieName is the name of starsessions' cookie, unless it is told otherwise.
const CookieName = "session"

// maxLifetime is the longest that a session lives in Go, however much it is used.
const maxLifetime = 400 * 24 * time.Hour

// Config is how the Python side's SessionMiddleware is configured.
type Config struct {
	// Lifetime is its lifetime, in whole seconds; 0: until the browser is closed.
	// Without Rolling it is counted from the session's beginning.
	Lifetime time.Duration

	// Rolling is its rolling: each use begins the Lifetime anew.
	Rolling bool

	// Encryptor is its encryptor. It is required: [Unencrypted] is one, too.
	Encryptor Encryptor
}

// New returns a middleware whose sessions starsessions shares. What c says is set, and the
// cookie's name to [CookieName]; opts come after, for a WithCookieName of another name, and for
// what else the middleware can do. Where the Python side has no absolute end, with
// Rolling or without a Lifetime, the middleware's is 400 days after the session began;
// middleware.WithLifetime shortens that.
//
// What can't be shared is an error that wraps [sessions.ErrConfig].
func New(store *Store, c Config, opts ...middleware.Option) (*middleware.Middleware, error) {
	p, set, err := newPlace(store, c)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(p, append(set, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("starsessions: %w", err)
	}
	return mw, nil
}

// newPlace checks c, and returns the options that it means.
func newPlace(store *Store, c Config) (place, []middleware.Option, error) {
	fail := func(text string) (place, []middleware.Option, error) {
		return place{}, nil, fmt.Errorf("starsessions: %w: %s", sessions.ErrConfig, text)
	}
	switch {
	case store == nil || *store == (Store{}):
		return fail("the store is nil; use Cookie or Redis, and check the error")
	case c.Encryptor.seal == nil:
		return fail("Config.Encryptor is missing; it is Fernet, AESGCM or Unencrypted, as on the Python side")
	case c.Lifetime < 0 || c.Lifetime%time.Second != 0:
		return fail("Config.Lifetime is not in whole seconds, as starsessions has it")
	case c.Rolling && c.Lifetime == 0:
		return fail("Config.Rolling needs a Lifetime; starsessions renews nothing without one")
	}
	l := &layout{Serializer: serialize.JSON, lifetime: c.Lifetime, encryptor: c.Encryptor, signed: store.signer != nil}
	set := []middleware.Option{middleware.WithCookieName(CookieName), middleware.WithLifetime(c.Lifetime)}
	if c.Rolling || c.Lifetime == 0 {
		switch {
		case c.Rolling:
			l.idle = c.Lifetime
		case l.signed:
			l.idle = cookieLife
		default:
			l.idle = redisLife
		}
		set = append(set, middleware.WithLifetime(maxLifetime), middleware.WithRolling(l.idle))
	}
	if c.Lifetime > 0 {
		set = append(set, middleware.WithPersistentCookie())
	}
	return place{store, l}, set, nil
}

// place is the stores.Store that nobody else can have: with another layout or encryptor
// it would not be safe.
type place struct {
	store *Store
	l     *layout
}

func (p place) Place() stores.Place { return p.store.place(p.l) }
