package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// MaxValues is how many values of one cookie an [Exchange] looks at. A request with
// more has no session: each could cost a question to the store. Most users won't need
// it.
const MaxValues = 4

// Transport is what carries sessions to and from a client: package middleware is
// one, for net/http. Most users won't need it.
type Transport interface {
	// Values returns the values of the session's cookie that came with the
	// request, each once; more than MaxValues+1 need not be returned. It may be
	// called again, and then returns the same.
	Values() []string

	// Autoload tells whether a request without values counts as loaded: with a
	// new session, which costs nothing. Requests with values are loaded by the
	// transport itself, before the handler runs.
	Autoload() bool

	// Reply takes what the client is to be told. A later Reply takes the place
	// of an earlier one; the zero Reply takes it back. None comes after
	// [Exchange.Respond] has returned.
	Reply(Reply)
}

// Reply is what the client is to be told. The zero Reply is nothing. Most users won't
// need it.
type Reply struct {
	Remove bool          // the client must forget its token
	MaxAge time.Duration // how long the client keeps the token, at most until the session's deadline; 0: until it is closed

	// What makes the token. fmt prints what stands in a struct itself with a verb
	// that does not fit, such as %p, whatever Format says.
	state  *record.State
	signer *token.Signer // nil without signed IDs
}

// IsZero tells whether the client is to be told nothing.
func (r Reply) IsZero() bool { return !r.Remove && r.state == nil }

// token returns the token and the MAC of its ID; the zero Token where there is none.
func (r Reply) token() (tok token.Token, mac []byte) {
	if r.state == nil {
		return tok, nil
	}
	if r.signer != nil {
		mac = r.signer.Sign(r.state.ID)
	}
	return token.Token{ID: r.state.ID, Payload: r.state.Payload}, mac
}

// Value returns the token's text: the cookie's value. It is empty where there is
// none.
func (r Reply) Value() string {
	tok, mac := r.token()
	return tok.Value(mac)
}

// Chars returns at least the length of Value, to allocate by.
func (r Reply) Chars() int {
	if r.state == nil {
		return 0
	}
	return max(token.HeadChars(r.signer != nil), r.state.ID.Chars()) + len(r.state.Payload)
}

// WriteValue writes what Value returns to b.
func (r Reply) WriteValue(b *strings.Builder) {
	tok, mac := r.token()
	tok.WriteValue(b, mac)
}

// Format writes the key of the session that the reply is about, whatever the verb.
func (r Reply) Format(f fmt.State, _ rune) {
	if r.state == nil {
		io.WriteString(f, "reply without a token")
		return
	}
	io.WriteString(f, "reply for "+r.state.ID.String())
}

// Exchange is one request's session, from the values of its cookie to the reply. A
// transport begins it with [Exchange.Begin], calls [Exchange.Respond] just before
// the first byte of the response, and [Exchange.Finish] at the end. What a handler
// does comes in between, or beside: all methods may be called at once.
//
// The zero Exchange has not begun. An Exchange must not be copied. Most users won't
// need it.
type Exchange struct {
	m         *Manager
	transport Transport
	outer     requestContext
	inner     innerContext

	// session is nil until it is loaded. It is read without mu, so that one
	// goroutine's commit does not hold up the others' look at the session.
	session atomic.Pointer[Session]

	mu      sync.Mutex
	loadErr error // the store is asked once, unless the caller gave up
	resign  bool  // the ID's MAC is under a retired key
	replied bool
	begun   bool  // the response has begun; its headers may be on their way
	failed  error // the commit failed
}

// Begin begins an exchange, and returns the context of the request from now on.
func (x *Exchange) Begin(ctx context.Context, m *Manager, t Transport) context.Context {
	x.m, x.transport = m, t
	x.outer = requestContext{ctx, x}
	x.inner = innerContext{ctx, x, nil}
	return &x.outer
}

// Format writes nothing of what the exchange holds, whatever the verb.
func (x *Exchange) Format(f fmt.State, _ rune) { io.WriteString(f, "a session's exchange") }

// within returns the context for what runs within a load or commit, in place of ctx.
func (x *Exchange) within(ctx context.Context) context.Context {
	if ctx == &x.outer {
		return &x.inner // as nearly always, and without an allocation
	}
	return &innerContext{ctx, x, nil}
}

// load returns the request's session; it asks the store at most once, unless ctx
// ended first.
func (x *Exchange) load(ctx context.Context) (*Session, error) {
	if s := x.session.Load(); s != nil {
		return s, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.session.Load(); s != nil || x.loadErr != nil {
		return s, x.loadErr
	}
	ctx = x.within(ctx)
	s, err := x.find(ctx)
	if err != nil {
		if !gaveUp(ctx, err) {
			x.loadErr = err
		}
		return nil, err
	}
	if x.begun {
		// Too late for a token, and the session must know.
		x.m.commit(ctx, s, afterResponse)
	}
	x.session.Store(s)
	return s, nil
}

// gaveUp tells whether err says no more than that ctx has ended, which may be
// the deadline of one caller.
func gaveUp(ctx context.Context, err error) bool {
	if errors.Is(err, stores.ErrUnavailable) {
		return ctx.Err() != nil
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Loaded returns the session, or nil where it was not loaded yet.
func (x *Exchange) Loaded() *Session { return x.session.Load() }

// find returns the session that the request's values name, or a new one.
func (x *Exchange) find(ctx context.Context) (*Session, error) {
	values := x.transport.Values()
	if len(values) > MaxValues {
		x.m.emit(ctx, evRejected, stores.Key{}, time.Time{}, Event{Reason: Ambiguous})
		return x.m.newSession(), nil
	}
	var found, moved *Session
	var unreadable error
	for i, value := range values {
		if slices.Contains(values[:i], value) {
			continue
		}
		s, live, err := x.open(ctx, value)
		switch {
		case errors.Is(err, ErrUnreadable):
			// Perhaps planted by a sibling subdomain; the user's own may open.
			unreadable = err
		case err != nil:
			return nil, err
		case s == nil:
		case !live:
			moved = s
		case found == nil:
			found = s
		case !found.held.ID.Equal(s.held.ID):
			// Which of the two the user meant nobody knows, and one may
			// have been planted by a sibling subdomain.
			for _, s := range []*Session{found, s} {
				x.m.emit(ctx, evRejected, s.held.ID.Key(), time.Time{}, Event{Reason: Ambiguous})
			}
			x.resign = false
			return x.m.newSession(), nil
		case s.held.Meta.Generation > found.held.Meta.Generation:
			found = s // an older and a newer copy of one session
		}
	}
	switch {
	case found != nil:
		return found, nil
	case unreadable != nil:
		return nil, unreadable
	case moved != nil:
		return moved, nil
	}
	return x.m.newSession(), nil
}

// open returns the session that one value names, nil where it names none. It is not
// live where it has another ID now.
func (x *Exchange) open(ctx context.Context, value string) (s *Session, live bool, err error) {
	tok, mac, err := x.m.parse(value)
	if err != nil {
		x.m.emit(ctx, evRejected, stores.Key{}, time.Time{}, Event{Reason: Malformed, Err: err})
		return nil, false, nil
	}
	retired := false
	if x.m.signer != nil {
		var ok bool
		if ok, retired = x.m.signer.Verify(tok.ID, mac); !ok {
			x.m.emit(ctx, evRejected, tok.ID.Key(), time.Time{}, Event{Reason: Forged})
			return nil, false, nil
		}
	}
	s, err = x.m.load(ctx, tok)
	if _, rejected := errors.AsType[*rejectedError](err); rejected {
		return s, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	x.resign = x.resign || retired
	return s, true, nil
}

// commit writes the session's changes now; see [Commit].
func (x *Exchange) commit(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	ctx = x.within(ctx)
	s := x.session.Load()
	switch {
	case s == nil:
		return x.loadErr
	case x.failed != nil:
		return x.failed
	case x.begun:
		_, err := x.m.commit(ctx, s, afterResponse)
		return err
	}
	c, err := x.m.commit(ctx, s, midway)
	x.reply(c)
	return err
}

// Respond commits the session before the first byte of the response; later calls do
// nothing, and first is false. With an error the transport must answer in the
// handler's place; every later call returns the same error.
func (x *Exchange) Respond() (first bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if first = !x.begun; first {
		x.begun = true
		x.failed = x.conclude()
	}
	return first, x.failed
}

// Fail begins the response without a commit, for a transport that answers err in the
// handler's place: that of a load before the handler, of Respond, or the handler's own
// after Discard and Respond. It returns ctx, which is the handler's, for that answer. The
// session can be read there, as it was last stored, and is not loaded or committed any
// more.
func (x *Exchange) Fail(ctx context.Context, err error) context.Context {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun, x.failed = true, err
	return &innerContext{ctx, x, err}
}

// conclude writes the session and tells the client. It needs x.mu.
func (x *Exchange) conclude() error {
	s := x.session.Load()
	if s == nil {
		return nil
	}
	c, err := x.m.commit(&x.inner, s, beforeResponse)
	x.reply(c)
	switch {
	case errors.Is(err, ErrEnded):
		// The reply of an earlier Commit would put a dead token over a newer
		// login's.
		if x.replied {
			x.transport.Reply(Reply{})
		}
	case err != nil:
		if s.spares() { // with the answer to the failure
			if c, again := x.m.commit(&x.inner, s, beforeResponse); again == nil {
				x.reply(c)
			}
		}
		return err
	case x.resign && c.action == keep:
		if again, ok := s.again(); ok {
			x.reply(again)
		}
	}
	return nil
}

// again returns the change that gives the client the token that it has.
func (s *Session) again() (change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return change{replace, s.held}, s.held.Exists() && !s.gone && !s.peeks
}

// spares tells whether a commit that was dropped has left what the session outlives the
// others of its owner by.
func (s *Session) spares() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spared != nil && s.unsure == nil && s.changed()
}

// Finish ends the exchange: it commits a response that was not begun, or what the
// handler changed after it began. What fails or comes too late then has been told to
// hooks and log; the client has its answer already.
func (x *Exchange) Finish() {
	if _, err := x.Respond(); err != nil {
		return
	}
	if s := x.session.Load(); s != nil {
		x.m.commit(&x.inner, s, afterResponse)
	}
}

// reply tells the client what a commit asks for. It needs x.mu.
func (x *Exchange) reply(c change) {
	var r Reply
	switch c.action {
	case keep:
		return
	case remove:
		r.Remove = true
	case replace:
		r.state, r.signer, r.MaxAge = c.state, x.m.signer, x.m.maxAge(c.state)
	}
	x.replied = c.action == replace
	x.transport.Reply(r)
}

// newSession returns a new session. Nothing is stored until it is committed with a
// value in it.
func (m *Manager) newSession() *Session { return &Session{m: m} }
