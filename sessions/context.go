package sessions

import "context"

// Carrier is what a middleware puts into a request's context, so that handlers
// reach their session without knowing the middleware. Its methods are called by
// several goroutines.
type Carrier interface {
	// Load returns the request's session; it asks the store at most once.
	Load(ctx context.Context) (*Session, error)

	// Loaded returns the session, or nil where Load was not called yet.
	Loaded() *Session

	// Commit writes the session's changes now.
	Commit(ctx context.Context) error
}

type carrierKey struct{}

// Context is a context that carries a [Carrier]. A middleware has one in what it
// allocates for a request anyway, and hands out its address. The zero Context is
// not usable; both fields must be set, and not changed any more.
type Context struct {
	context.Context
	Carrier Carrier
}

// Value implements [context.Context].
func (c *Context) Value(key any) any {
	if key == (carrierKey{}) {
		return c.Carrier
	}
	return c.Context.Value(key)
}

// CarrierOf returns the innermost Carrier of ctx, or [ErrNoMiddleware].
func CarrierOf(ctx context.Context) (Carrier, error) {
	c, ok := ctx.Value(carrierKey{}).(Carrier)
	if !ok {
		return nil, ErrNoMiddleware
	}
	return c, nil
}

// Load returns the request's session, a new one where the client has none. The
// first call asks the store; later ones, and requests that autoload covers, do
// no I/O. An error means that nothing is known about the session: answer with
// an error, do not treat the user as logged out.
func Load(ctx context.Context) (*Session, error) {
	c, err := CarrierOf(ctx)
	if err != nil {
		return nil, err
	}
	return c.Load(ctx)
}

// FromContext returns the session if it is loaded already, by Load or by
// autoload. Otherwise it returns [ErrNotLoaded], or [ErrNoMiddleware]. It does
// no I/O.
func FromContext(ctx context.Context) (*Session, error) {
	c, err := CarrierOf(ctx)
	if err != nil {
		return nil, err
	}
	if s := c.Loaded(); s != nil {
		return s, nil
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
	c, err := CarrierOf(ctx)
	if err != nil {
		return err
	}
	return c.Commit(ctx)
}
