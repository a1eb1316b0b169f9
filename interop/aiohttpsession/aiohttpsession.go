package aiohttpsession

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/fernet"
	"github.com/bulla-go/bulla/interop/internal/aiohttp"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// CookieName is the name of aiohttp-session's cookie, unless it is told otherwise.
const CookieName = aiohttp.CookieName

// Prefix begins the keys of its RedisStorage: the cookie's name and "_".
const Prefix = CookieName + "_"

// forever is for how long a key counts that has no expiry, as without a max_age.
const forever = 400 * 24 * time.Hour

// Store is a place where aiohttp-session keeps sessions, for [New]. It is safe for
// concurrent use; the zero Store is refused.
type Store struct {
	tokens *fernet.Tokens
	server *redisstore.Shared
}

// EncryptedCookie is EncryptedCookieStorage(secret_key), with the key's 32 bytes. Where
// Python has them as text, that is base64url. Only their length is checked, since they are
// the Python side's choice. The first key seals, all open; the Python side knows one
// alone, or several as a MultiFernet.
//
// A logout takes the cookie away and no more: who has kept a copy of it is logged in,
// on both sides, until it is too old. Of two requests at once the later response wins.
func EncryptedCookie(keys ...[]byte) (*Store, error) {
	var all []encrypt.Key
	for i, b := range keys {
		key, err := encrypt.InsecureKey(b)
		if err != nil {
			return nil, fmt.Errorf("aiohttpsession: key %d: %w", i+1, err)
		}
		all = append(all, key)
	}
	tokens, err := fernet.New(all...)
	if err != nil {
		return nil, fmt.Errorf("aiohttpsession: %w", err)
	}
	return &Store{tokens: tokens}, nil
}

// Redis is RedisStorage(connection). The options are those of redisstore:
// redisstore.WithPrefix where the cookie has another name, since that begins the keys,
// and redisstore.WithTimeout. For the client see [redisstore.New].
func Redis(client redis.UniversalClient, opts ...redisstore.Option) (*Store, error) {
	server, err := redisstore.NewShared(client, Prefix, forever, opts...)
	if err != nil {
		return nil, fmt.Errorf("aiohttpsession: %w", err)
	}
	return &Store{server: server}, nil
}

// Config is how the Python side's storage is configured.
type Config struct {
	// MaxAge is its max_age, in whole seconds: how long a session lives after its last
	// change. 0 is None; a session that is not changed lives for 400 days here then.
	MaxAge time.Duration
}

// New returns a middleware whose sessions aiohttp-session shares. What c says is set, and
// the cookie's name to [CookieName]; opts come after. aiohttp-session's cookie is
// neither Secure nor SameSite unless it is told so; here it is both, unless
// middleware.WithInsecureHTTP is there.
//
// What can't be shared is an error that wraps [sessions.ErrConfig].
func New(store *Store, c Config, opts ...middleware.Option) (*middleware.Middleware, error) {
	p, err := newPlace(store, c)
	if err != nil {
		return nil, err
	}
	mw, err := p.New(opts)
	if err != nil {
		return nil, fmt.Errorf("aiohttpsession: %w", err)
	}
	return mw, nil
}

func newPlace(store *Store, c Config) (p aiohttp.Place, err error) {
	switch p.MaxAge = c.MaxAge; {
	case store == nil || *store == (Store{}):
		return p, fmt.Errorf("aiohttpsession: %w: the store is nil; use EncryptedCookie or Redis, and check the error", sessions.ErrConfig)
	case c.MaxAge < 0 || c.MaxAge%time.Second != 0:
		return p, fmt.Errorf("aiohttpsession: %w: Config.MaxAge is not in whole seconds, as aiohttp-session has it", sessions.ErrConfig)
	case store.tokens != nil:
		p.Name, p.Tokens = "aiohttp-session cookie", store.tokens
	default:
		p.Name, p.Server = "aiohttp-session redis", store.server
	}
	return p, nil
}
