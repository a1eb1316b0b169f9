package scs

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/bulla-go/bulla/sessions"
)

// Option configures a [Reader].
type Option func(*options) error

type options struct {
	prefix *string
	table  string
	hashed bool
	codec  Codec
}

// Codec decodes records: the one that scs was given as SessionManager.Codec.
type Codec interface {
	Decode(data []byte) (deadline time.Time, values map[string]any, err error)
}

// WithCodec says that records are not gobs. What the codec is given is a megabyte at
// most.
func WithCodec(c Codec) Option {
	return func(o *options) error {
		if c == nil {
			return errors.New("WithCodec was given nil; leave it out for gob")
		}
		o.codec = c
		return nil
	}
}

// WithHashedTokens says that scs had HashTokenInStore.
func WithHashedTokens() Option {
	return func(o *options) error {
		o.hashed = true
		return nil
	}
}

// WithPrefix says what the keys in Redis begin with, where scs was given another prefix
// than "scs:session:".
func WithPrefix(prefix string) Option {
	return func(o *options) error {
		o.prefix = &prefix
		return nil
	}
}

// identifier is a table's name, with a schema or without.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// WithTable says which table has the sessions, where it is another than "sessions". The
// name is made of letters, digits and underscores; a schema may stand before it.
func WithTable(name string) Option {
	return func(o *options) error {
		if !identifier.MatchString(name) {
			return fmt.Errorf("WithTable(%q) is not a name made of letters, digits and underscores", name)
		}
		o.table = name
		return nil
	}
}

func newOptions(opts []Option) (o options, err error) {
	for i, option := range opts {
		if option == nil {
			return o, fmt.Errorf("scs: %w: option %d of %d is nil; leave it out", sessions.ErrConfig, i+1, len(opts))
		}
		if err := option(&o); err != nil {
			return o, fmt.Errorf("scs: %w: %w", sessions.ErrConfig, err)
		}
	}
	return o, nil
}
