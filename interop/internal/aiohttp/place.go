// Package aiohttp knows the records of Python's aiohttp-session, wherever they lie.
package aiohttp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/fernet"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// CookieName is the name of aiohttp-session's cookie, unless it is told otherwise.
const CookieName = "AIOHTTP_SESSION"

// maxLifetime is the longest that a session lives which has no max_age.
const maxLifetime = 400 * 24 * time.Hour

// Place is a [stores.Store]: with Tokens in the cookie, or else in Server.
type Place struct {
	Name   string
	MaxAge time.Duration // 0: none
	Tokens *fernet.Tokens
	Server stores.Server
}

// New returns the middleware.
func (p Place) New(opts []middleware.Option) (*middleware.Middleware, error) {
	idle := p.MaxAge
	set := []middleware.Option{middleware.WithCookieName(CookieName), middleware.WithLifetime(maxLifetime)}
	if idle > 0 {
		set = append(set, middleware.WithPersistentCookie())
	} else {
		idle = maxLifetime
	}
	// Only a change begins the time anew: use alone, but for a last moment, does not.
	set = append(set, middleware.WithRolling(idle), middleware.WithTouchInterval(idle-time.Millisecond))
	return middleware.New(p, append(set, opts...)...)
}

// Place implements [stores.Store].
func (p Place) Place() stores.Place {
	l := layout{serialize.JSON, p.MaxAge}
	place := stores.Place{Name: p.Name, Server: p.Server, Foreign: &stores.Foreign{Layout: l, ID: isID}}
	if p.Tokens != nil {
		place.Cookie = codec{p.Tokens, p.MaxAge}
	}
	return place
}

// isID tells whether text is an ID that aiohttp-session or Bulla makes: 32 hexadecimal
// digits or characters of base64url, and in Firestore 20 letters and digits.
func isID(text string) bool {
	if len(text) != 32 && len(text) != 20 {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// codec spells records as EncryptedCookieStorage does: as Fernet tokens.
type codec struct {
	tokens *fernet.Tokens
	maxAge time.Duration
}

// Encode implements [stores.Codec].
func (c codec) Encode(data, _ []byte) (string, error) { return c.tokens.Encrypt(data) }

// Decode implements [stores.Codec]. aiohttp's cookies stand in quotes where they end
// with "=", and browsers send them back as they are.
func (c codec) Decode(payload string, _ []byte) ([]byte, bool, error) {
	if len(payload) >= 2 && strings.HasPrefix(payload, `"`) && strings.HasSuffix(payload, `"`) {
		payload = payload[1 : len(payload)-1]
	}
	data, err := c.tokens.Decrypt(payload, c.maxAge)
	switch {
	case errors.Is(err, encrypt.ErrMalformed):
		return nil, false, fmt.Errorf("%w: %w", stores.ErrMalformed, err)
	case err != nil:
		return nil, false, fmt.Errorf("%w: %w", stores.ErrTampered, err)
	case len(data) == 0 || string(data) == "{}": // what invalidate() leaves
		return nil, false, fmt.Errorf("%w: an empty session", stores.ErrMalformed)
	}
	return data, false, nil
}
