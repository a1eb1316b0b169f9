package gorilla

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions"
)

// Option configures a [Reader].
type Option func(*options) error

type options struct {
	maxAge   *time.Duration
	notAfter time.Time
	prefix   *string
	json     bool
}

// WithMaxAge says how old a signed cookie may be, where the store's MaxAge was called with
// another age than 30 days. Shorter is safer.
func WithMaxAge(age time.Duration) Option {
	return func(o *options) error {
		if age < time.Second {
			return fmt.Errorf("WithMaxAge(%v) is under a second; a cookie that never grows too old would be a login for ever", age)
		}
		o.maxAge = &age
		return nil
	}
}

// WithNotAfter refuses cookies that were signed after the switch, when the former
// program signed no more: who has got its keys can then make no session that outlives
// the last real one.
func WithNotAfter(at time.Time) Option {
	return func(o *options) error {
		if at.IsZero() {
			return errors.New("WithNotAfter was given no time")
		}
		o.notAfter = at
		return nil
	}
}

// WithPrefix says what the keys in Redis begin with, where the store was told another
// prefix than its own.
func WithPrefix(prefix string) Option {
	return func(o *options) error {
		o.prefix = &prefix
		return nil
	}
}

// WithJSON says that values are encoded as JSON: with securecookie's JSONEncoder in the
// cookie, or with a Redis store's JSONSerializer. They come back as encoding/json has
// them, numbers as float64.
func WithJSON() Option {
	return func(o *options) error {
		o.json = true
		return nil
	}
}

const defaultMaxAge = 30 * 24 * time.Hour // gorilla's

func newOptions(opts []Option) (o options, err error) {
	for i, option := range opts {
		if option == nil {
			return o, fmt.Errorf("gorilla: %w: option %d of %d is nil; leave it out", sessions.ErrConfig, i+1, len(opts))
		}
		if err := option(&o); err != nil {
			return o, fmt.Errorf("gorilla: %w: %w", sessions.ErrConfig, err)
		}
	}
	if o.maxAge == nil {
		age := defaultMaxAge
		o.maxAge = &age
	}
	return o, nil
}

func (o *options) decoder() func([]byte) (map[any]any, error) {
	if o.json {
		return decodeJSON
	}
	return decodeGob
}

// unfit returns an error for an option that has no meaning for a kind of store.
func unfit(option, why string) error {
	return fmt.Errorf("gorilla: %w: %s %s", sessions.ErrConfig, option, why)
}
