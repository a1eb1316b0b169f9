package migrate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// Grace is how long a retired record lives on: long enough for requests that are under
// way together, and for a browser that lost the answer and asks again.
const Grace = time.Minute

// ErrNone: there is no old session, or none that is to be kept. Source.Read and
// Source.Adopt answer it.
var ErrNone = errors.New("migrate: no old session")

// Source is where old sessions come from. T is what the application gets of one.
type Source[T any] struct {
	// Cookie is the old cookie: its name, and Path, Domain, Secure and the other
	// attributes with which it was set, since browsers ignore the deletion of another.
	// Its value and age don't matter.
	Cookie *http.Cookie

	// Read returns the old session that a cookie's value names. Where there is none,
	// or it has expired, or the value is not one that the old library has made, it
	// answers an error that wraps ErrNone: the cookie is deleted. Every other error says
	// that nothing is known: the request is answered 503, and nothing is touched. Its
	// text must not tell the value.
	Read func(ctx context.Context, value string) (T, error)

	// Adopt puts what the application keeps of old into s, a new session. Say here
	// what the former library knew: [sessions.Session.BeganAt], so that moving does not
	// renew the absolute deadline; [sessions.Session.SetOwner],
	// [sessions.Session.SetAuthenticated]. What it put there is written before the
	// request goes on.
	//
	// Nobody but the application knows which old sessions should have ended: Bulla's
	// RevokeAll does not reach one that has not come yet. So refuse here, by ErrNone, what
	// began before the user changed the password or logged out everywhere.
	//
	// ErrNone says that nothing is to be kept, and so does the sessions.ErrEnded of
	// BeganAt: the old session is retired and its cookie deleted. Any other error goes
	// to the middleware's error handler, at this request and at the next one, as nothing
	// is touched: answer ErrNone for what will never be better.
	Adopt func(ctx context.Context, s *sessions.Session, old T) error

	// Retire shortens the life of the record that a cookie's value names to Grace, and
	// never lengthens it. It does not delete: of two requests at once the second would
	// find nobody. It is called with every value that comes with the cookie, also one
	// that Read has not seen, and a value without a record is no error. Where it fails,
	// the request is answered 503, and the old cookie stays, to be tried again.
	//
	// It is nil where there is no record on a server.
	Retire func(ctx context.Context, value string) error

	// Until is when the migration ends: the time of the switch and the longest that an
	// old session may live, or sooner. From then on the old cookie is deleted, and
	// nothing is read. It is required: without an end, a copy of an old cookie would be
	// a login for ever.
	Until time.Time
}

// check returns what is wrong with a source.
func (src *Source[T]) check(mw *middleware.Middleware) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("migrate: %w: %s", sessions.ErrConfig, fmt.Sprintf(format, args...))
	}
	switch c := src.Cookie; {
	case mw == nil:
		return fail("the middleware is nil; check the error of middleware.New")
	case c == nil || c.Name == "":
		return fail("Source.Cookie has no name; give the name and the attributes with which the old library set its cookie")
	case !strings.HasPrefix(c.Path, "/"):
		return fail("Source.Cookie has the Path %q; give the one with which the old library set its cookie, mostly \"/\"", c.Path)
	case c.Name == mw.Cookie().Name:
		return fail("the old cookie and Bulla's have the same name, %q, and the one would delete the other; give Bulla's another by WithCookieName", c.Name)
	case !c.Secure && (hasPrefix(c.Name, "__Secure-") || hasPrefix(c.Name, "__Host-") || c.SameSite == http.SameSiteNoneMode || c.Partitioned):
		return fail("Source.Cookie %q was surely set with Secure, and browsers would ignore its deletion without; set Secure", c.Name)
	case hasPrefix(c.Name, "__Host-") && (c.Path != "/" || c.Domain != ""):
		return fail("Source.Cookie %q has a prefix that forbids a Domain and another Path than \"/\"", c.Name)
	case src.Read == nil || src.Adopt == nil:
		return fail("Source.Read or Source.Adopt is missing: who reads the old session, and who says what is kept of it?")
	case src.Until.IsZero():
		return fail("Source.Until is missing; give the time from which old sessions count no more")
	}
	sample := *src.Cookie
	sample.Value = "x"
	if err := sample.Valid(); err != nil {
		return fail("Source.Cookie: %v", err)
	}
	return nil
}

func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
