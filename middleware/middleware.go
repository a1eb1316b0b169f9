package middleware

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Middleware gives every request its session. It is safe for concurrent use; the
// zero Middleware is not usable.
type Middleware struct {
	manager  *sessions.Manager
	cookie   cookie
	autoload autoload
	skips    []func(*http.Request) bool
	onError  func(http.ResponseWriter, *http.Request, error)
	silent   bool // the error handler is the default one, which tells nobody the cause
	logger   *slog.Logger

	proofPage string      // of RequireFresh; may be empty
	warned    atomic.Bool // of plain HTTP
}

// New returns a middleware that keeps sessions in store. Options that can't
// work, or that would leave sessions unprotected by oversight, are an error that
// wraps [sessions.ErrConfig] and names the option and the remedy.
func New(store stores.Store, opts ...Option) (*Middleware, error) {
	var o options
	for i, option := range opts {
		if option == nil {
			return nil, fmt.Errorf("middleware: %w: option %d of %d is nil; leave it out", sessions.ErrConfig, i+1, len(opts))
		}
		if err := option(&o); err != nil {
			return nil, fmt.Errorf("middleware: %w: %w", sessions.ErrConfig, err)
		}
	}
	m := &Middleware{skips: o.skips, onError: o.errorHandler, logger: o.sessions.Logger, proofPage: o.proofPage}
	if m.onError == nil {
		m.onError, m.silent = answerError, true
	}
	var err error
	if m.cookie, err = newCookie(&o); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	if m.autoload, err = newAutoload(&o); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	o.sessions.Name = m.cookie.name
	o.sessions.Room = m.cookie.room
	if m.manager, err = sessions.NewManager(store, o.sessions); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	if o.cookieName == "" && store.Place().Foreign != nil {
		return nil, fmt.Errorf("middleware: %w: the %s store shares its cookies with another system, which has a name for them; add WithCookieName", sessions.ErrConfig, store.Place().Name)
	}
	return m, nil
}

// Manager returns the manager of the middleware's sessions, for work outside a
// request.
func (m *Middleware) Manager() *sessions.Manager { return m.manager }

// Cookie returns the name and the attributes of the sessions' cookie, without a value or
// an age, for what works beside it. The caller may change what it gets.
func (m *Middleware) Cookie() *http.Cookie {
	c := m.cookie.sample
	return &c
}

// Handler returns next with sessions. The request that next is given reaches its
// session by [sessions.Load] and [sessions.FromContext].
//
// The session is committed before the first byte of the response: with
// WriteHeader, Write, Flush and their kin, with Hijack, and with Unwrap, since
// what is written to the writer beneath can't be seen. So a middleware between
// this one and the handler must not unwrap early; http.ResponseController does
// not, but to flush or hijack. Afterwards a change that needs a new token fails
// with [sessions.ErrTooLate].
//
// A handler that hijacks the connection writes its headers itself and must pass
// on the Set-Cookie lines in w.Header(); call [sessions.Commit] first.
//
// A request that comes through the same Middleware twice is handled by the outer
// one, if no other Middleware is between. Two Middlewares, one in the other, need different cookie names;
// sessions.Load then gives the inner one's session.
//
// After a panic nothing is committed, unless a recoverer within this Handler, as web
// frameworks have one, answers the request: that answer commits what the handler had
// changed by then. [Middleware.HandlerFunc] discards it first.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, skip := range m.skips {
			if skip(r) {
				next.ServeHTTP(w, r)
				return
			}
		}
		if m.manager.Serving(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		m.serve(w, r, next)
	})
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	q := &request{m: m, r: r}
	q.w = writer{ResponseWriter: w, q: q}
	inner := r.WithContext(q.Begin(r.Context(), m.manager, q))
	q.handler = inner
	// net/http looks for these on the request it made: an outer handler logs
	// the pattern, and the server removes a form's temporary files.
	defer func() {
		r.Pattern = inner.Pattern
		if inner.MultipartForm != nil {
			r.MultipartForm = inner.MultipartForm
		}
	}()
	if q.autoloads() {
		if _, err := sessions.Load(inner.Context()); err != nil {
			q.answer(err)
			return
		}
	}
	next.ServeHTTP(q.w.wrap(), inner)
	if q.begin() == nil {
		q.Finish()
	} // not after a panic: what the handler did not finish is not committed
}
