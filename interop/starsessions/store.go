package starsessions

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/interop/internal/signed"
	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// Prefix begins the keys of starsessions' RedisStore, unless it is told otherwise.
const Prefix = "starsessions."

// What starsessions takes where there is no lifetime.
const (
	cookieLife = 360 * 24 * time.Hour
	redisLife  = 30 * 24 * time.Hour
)

// Store is a place where starsessions keeps sessions, for [New]. It is safe for
// concurrent use; the zero Store is refused.
type Store struct {
	signer *itsdangerous.TimestampSigner
	server *redisstore.Shared
}

// Cookie is CookieStore(secret_key). The first secret signs, all verify; the Python side
// knows one alone.
//
// A logout takes the cookie away and no more: who has kept a copy of it is logged in,
// on both sides, until the signature's time is over. Of two requests at once the later
// response wins.
func Cookie(secrets ...string) (*Store, error) {
	signer, err := itsdangerous.NewTimestampSigner(secrets...)
	if err != nil {
		return nil, fmt.Errorf("starsessions: %w", err)
	}
	return &Store{signer: signer}, nil
}

// Redis is RedisStore(connection). The options are those of redisstore:
// redisstore.WithPrefix where the Python side has another prefix than [Prefix],
// redisstore.WithKeyFunc where it has a function, whose argument's Name is the ID, and
// redisstore.WithTimeout. For the client see [redisstore.New].
func Redis(client redis.UniversalClient, opts ...redisstore.Option) (*Store, error) {
	server, err := redisstore.NewShared(client, Prefix, redisLife, opts...)
	if err != nil {
		return nil, fmt.Errorf("starsessions: %w", err)
	}
	return &Store{server: server}, nil
}

// place returns the store with its layout.
func (s *Store) place(l *layout) stores.Place {
	if s.signer != nil {
		return stores.Place{Name: "starsessions cookie", Cookie: signed.Codec{Signer: s.signer}, Foreign: &stores.Foreign{Layout: l}}
	}
	return stores.Place{Name: "starsessions redis", Server: s.server, Foreign: &stores.Foreign{Layout: l, ID: isID}}
}

// isID tells whether text is an ID that starsessions or Bulla makes: 32 hexadecimal
// digits, or characters of base64url. starsessions itself takes any text that a client
// sends for a new ID.
func isID(text string) bool {
	if len(text) != 32 {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
