package gorilla

import (
	"fmt"

	"github.com/bulla-go/bulla/sessions"
)

// maxCookie is how long a cookie may be: the limit that securecookie has by default, and
// about that of browsers.
const maxCookie = 4096

// Cookie returns a reader of sessions that a CookieStore keeps in the cookie. name is the
// session's, and the cookie's; keyPairs are those that NewCookieStore was given, in their
// order.
func Cookie(name string, keyPairs [][]byte, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	if o.prefix != nil {
		return nil, unfit("WithPrefix", "is for Redis")
	}
	opener, err := newOpener(name, keyPairs, *o.maxAge, o.notAfter, maxCookie)
	if err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", sessions.ErrConfig, err)
	}
	return &Reader{opener: opener, decode: o.decoder()}, nil
}
