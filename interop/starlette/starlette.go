package starlette

import (
	"cmp"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/internal/pyjson"
	"github.com/bulla-go/bulla/interop/internal/signed"
	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const (
	// CookieName is the name of Starlette's cookie, unless it is told otherwise.
	CookieName = "session"

	// DefaultMaxAge is Starlette's max_age, unless it is told otherwise.
	DefaultMaxAge = 14 * 24 * time.Hour

	// maxLifetime is the longest that a signature counts in Go.
	maxLifetime = 400 * 24 * time.Hour
)

// Config is how the Python side's SessionMiddleware is configured.
type Config struct {
	// Secrets are its secret_key. The first one signs, all verify; the Python side
	// knows one alone. At least one is required.
	Secrets []string

	// MaxAge is its max_age, in whole seconds: how long a session lives that is not
	// used. 0 is max_age=None; a signature counts for 400 days then.
	MaxAge time.Duration
}

// New returns a middleware whose sessions Starlette shares. What c says is set, and the
// cookie's name to [CookieName]; opts come after. Starlette's cookie is Secure only with
// https_only=True, and here unless middleware.WithInsecureHTTP is there.
//
// Use signs the cookie afresh, a twentieth of MaxAge after the last time, and every five
// minutes at most. Starlette itself does that with every response or, in later
// versions, where something changed.
//
// What can't be shared is an error that wraps [sessions.ErrConfig].
func New(c Config, opts ...middleware.Option) (*middleware.Middleware, error) {
	p, err := newPlace(c)
	if err != nil {
		return nil, err
	}
	set := []middleware.Option{middleware.WithCookieName(CookieName), middleware.WithLifetime(maxLifetime), middleware.WithRolling(p.l.maxAge)}
	if c.MaxAge > 0 {
		set = append(set, middleware.WithPersistentCookie())
	}
	mw, err := middleware.New(p, append(set, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("starlette: %w", err)
	}
	return mw, nil
}

func newPlace(c Config) (place, error) {
	if c.MaxAge < 0 || c.MaxAge%time.Second != 0 {
		return place{}, fmt.Errorf("starlette: %w: Config.MaxAge is not in whole seconds, as Starlette has it", sessions.ErrConfig)
	}
	signer, err := itsdangerous.NewTimestampSigner(c.Secrets...)
	if err != nil {
		return place{}, fmt.Errorf("starlette: %w: Config.Secrets: %w", sessions.ErrConfig, err)
	}
	return place{signer, layout{serialize.JSON, cmp.Or(c.MaxAge, maxLifetime)}}, nil
}

type place struct {
	signer *itsdangerous.TimestampSigner
	l      layout
}

func (p place) Place() stores.Place {
	return stores.Place{
		Name:    "starlette cookie",
		Cookie:  signed.Codec{Signer: p.signer},
		Foreign: &stores.Foreign{Layout: p.l},
	}
}

// layout is the JSON of the session dict.
type layout struct {
	serialize.Serializer
	maxAge time.Duration
}

// tagRest has the members that no session of ours can have.
const tagRest = 200

// KeepsMarks implements [envelope.Layout].
func (layout) KeepsMarks() bool { return false }

// Split implements [envelope.Layout].
func (l layout) Split(data []byte) (env envelope.Envelope, err error) {
	at, data, err := signed.CutTime(data)
	if err != nil {
		return env, err
	}
	o, err := pyjson.Cut(data)
	if err != nil {
		return env, err
	}
	if env.Values, err = o.Envelope(); err != nil {
		return envelope.Envelope{}, err
	}
	env.Sealed, env.Idle = at, l.maxAge
	if len(o.Rest) > 0 {
		env.Extra = []envelope.Field{{Tag: tagRest, Data: o.Rest}}
	}
	return env, nil
}

// Join implements [envelope.Layout].
func (l layout) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	var rest []byte
	for _, f := range env.Extra {
		if f.Tag == tagRest {
			rest = f.Data
		}
	}
	return pyjson.Append(signed.AppendTime(dst, env.Sealed), env.Values.All(), rest)
}
