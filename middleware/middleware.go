package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Middleware gives every request its session. It is safe for concurrent use; the
// zero Middleware is not usable.
type Middleware struct {
	manager  *sessions.Manager
	cookie   cookie
	signer   *signer // nil without signed IDs
	autoload autoload
	skips    []func(*http.Request) bool
	onError  func(http.ResponseWriter, *http.Request, error)
	logger   *slog.Logger
}

// New returns a middleware that keeps sessions in store. Options that can't
// work, or that would leave sessions unprotected by oversight, are an error that
// wraps [sessions.ErrConfig] and names the option and the remedy.
func New(store stores.Store, options ...Option) (*Middleware, error) {
	var c config
	for i, o := range options {
		if o == nil {
			return nil, fmt.Errorf("middleware: %w: option %d of %d is nil; leave it out", sessions.ErrConfig, i+1, len(options))
		}
		o(&c)
	}
	m := &Middleware{skips: c.skips, onError: c.errorHandler, logger: c.sessions.Logger}
	if m.onError == nil {
		m.onError = answerError
	}
	for _, skip := range c.skips {
		if skip == nil {
			return nil, fmt.Errorf("middleware: %w: WithSkip: the function is nil; leave it out", sessions.ErrConfig)
		}
	}
	// The result of a constructor whose error was not looked at.
	if k, ok := c.sessions.Encryptor.(*encrypt.Keyring); c.encrypts && (c.sessions.Encryptor == nil || ok && k == nil) {
		return nil, fmt.Errorf("middleware: %w: WithEncryptor: the encryptor is nil; check the error of its constructor", sessions.ErrConfig)
	}
	var err error
	if m.cookie, err = newCookie(&c); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	if m.autoload, err = newAutoload(&c); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	if c.signed {
		if m.signer, err = newSigner(c.sessions.Audience, m.cookie.name, c.signingKeys); err != nil {
			return nil, fmt.Errorf("middleware: %w: WithSignedIDs: %w", sessions.ErrConfig, err)
		}
	}
	if c.owned && len(c.sessions.Owners) == 0 {
		return nil, fmt.Errorf("middleware: %w: WithOwners: no keys; give it at least one, from encrypt.GenerateKey", sessions.ErrConfig)
	}
	if c.touch != nil {
		if c.sessions.TouchInterval = *c.touch; *c.touch == 0 {
			c.sessions.TouchInterval = sessions.EveryResponse
		}
	}
	c.sessions.Name = m.cookie.name
	c.sessions.Room = m.cookie.room
	if m.manager, err = sessions.NewManager(store, c.sessions); err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	return m, nil
}

// Manager returns the manager of the middleware's sessions, for work outside a
// request.
func (m *Middleware) Manager() *sessions.Manager { return m.manager }

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
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, skip := range m.skips {
			if skip(r) {
				next.ServeHTTP(w, r)
				return
			}
		}
		if c, err := sessions.CarrierOf(r.Context()); err == nil {
			if c, ok := c.(*carrier); ok && c.q.Load().m == m {
				next.ServeHTTP(w, r)
				return
			}
		}
		m.serve(w, r, next)
	})
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	q := &request{m: m, r: r}
	q.w = writer{ResponseWriter: w, q: q}
	q.carrier.q.Store(q)
	q.ctx = sessions.Context{Context: r.Context(), Carrier: &q.carrier}
	q.inside.within(r.Context(), &q.carrier)
	inner := r.WithContext(&q.ctx)
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
		if _, err := q.load(&q.ctx); err != nil {
			q.fail(err)
			return
		}
	}
	next.ServeHTTP(q.w.wrap(), inner)
	q.finish() // not after a panic: what the handler did not finish is not committed
}

// answerError is the default error handler.
func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, sessions.ErrTooManySessions) {
		status = http.StatusForbidden
	}
	for _, temporary := range []error{stores.ErrUnavailable, sessions.ErrUnreadable, sessions.ErrBusy, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, temporary) {
			status = http.StatusServiceUnavailable
		}
	}
	http.Error(w, http.StatusText(status), status)
}
