package sessions

import (
	"cmp"
	"context"
	"fmt"
	"io"
)

// Load returns the request's session, a new one where the client has none. The
// first call asks the store; later ones, and requests that autoload covers, do
// no I/O. An error means that nothing is known about the session: answer with
// an error, do not treat the user as logged out.
func Load(ctx context.Context) (*Session, error) {
	x, inner, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if inner != nil {
		return inner.loaded()
	}
	return x.load(ctx)
}

// FromContext returns the session if it is loaded already, by Load or by
// autoload. Otherwise it returns [ErrNotLoaded], or [ErrNoMiddleware]. It does
// no I/O.
func FromContext(ctx context.Context) (*Session, error) {
	x, inner, err := exchangeOf(ctx)
	switch {
	case err != nil:
		return nil, err
	case inner != nil:
		return inner.loaded()
	}
	if s := x.session.Load(); s != nil {
		return s, nil
	}
	if x.transport.Autoload() && len(x.transport.Values()) == 0 {
		return x.load(ctx)
	}
	return nil, ErrNotLoaded
}

// Commit writes the session's changes now instead of before the first byte of
// the response: for a handler that must know that a change is stored before it
// goes on, such as an attempt counter, a websocket upgrade or a long stream.
// Where the session was ended meanwhile it returns [ErrEnded]. A session that is
// not loaded has nothing to write.
//
// Where it fails, the request's changes are dropped, and the session is again as it
// is stored: they are not written later, together with the page that tells the user
// of the failure. That page is the handler's own, where it is certain that nothing
// was written ([ErrTooManySessions], [stores.ErrTooLarge]); where it is not
// ([stores.ErrUnavailable]), nothing can be committed any more, and the error
// handler answers.
//
// Call it before the response begins where the session may be new or its ID
// changes: the cookie goes out with the headers. Afterwards, what needs a new
// token is discarded with [ErrTooLate].
func Commit(ctx context.Context) error {
	x, inner, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	if inner != nil {
		return cmp.Or(inner.err, fmt.Errorf("%w: a hook can't commit", ErrNotLoaded))
	}
	return x.commit(ctx)
}

// exchangeKey is the key under which a context has its exchange.
type exchangeKey struct{}

// requestContext is a request's context with its session.
type requestContext struct {
	context.Context
	x *Exchange
}

func (c *requestContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Format keeps fmt from printing what the exchange holds.
func (c *requestContext) Format(f fmt.State, _ rune) {
	io.WriteString(f, "a request's context with its session")
}

// innerContext is the context of what runs within a load or commit: hooks, the log,
// the store. A log handler that asks it for the session must not wait for what it is
// a part of.
type innerContext struct {
	context.Context
	x   *Exchange
	err error // why the session is not loaded; nil where nothing failed
}

// loaded returns the session, without waiting for a load under way.
func (c *innerContext) loaded() (*Session, error) {
	if s := c.x.session.Load(); s != nil {
		return s, nil
	}
	return nil, cmp.Or(c.err, ErrNotLoaded)
}

func (c *innerContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Format keeps fmt from printing what the exchange holds.
func (c *innerContext) Format(f fmt.State, _ rune) {
	io.WriteString(f, "a request's context with its session")
}

// exchangeOf returns the innermost exchange of ctx, and its inner context where ctx
// belongs to what runs within a load or commit.
func exchangeOf(ctx context.Context) (*Exchange, *innerContext, error) {
	switch c := ctx.Value(exchangeKey{}).(type) {
	case *requestContext:
		return c.x, nil, nil
	case *innerContext:
		return c.x, c, nil
	}
	return nil, nil, ErrNoMiddleware
}

// Serving returns the transport of the request whose context ctx is, or nil where its
// innermost [Exchange] is none of m's: for a transport that may be around itself. Most
// users won't need it.
func (m *Manager) Serving(ctx context.Context) Transport {
	x, _, err := exchangeOf(ctx)
	if err != nil || x.m != m {
		return nil
	}
	return x.transport
}
