package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// HandlerFunc returns f with sessions: [Middleware.Handler] around a function that is
// given the request's session, and returns an error in place of answering it. Inside a
// Handler of the same Middleware f is given that one's session.
//
// Where the session can't be loaded, f does not run, and the error handler answers
// ([WithErrorHandler]). It answers as well where f returns an error and has written
// nothing: the session is again as it was last stored ([sessions.Session.Discard]),
// and the error handler, which is given f's request, can read it. What f committed
// itself stays, and so does a logout: [sessions.Session.Destroy] is carried out. If
// that fails, its error is joined to f's.
//
// An error after f has begun the response adds nothing to what the client gets: what is
// not committed by then is discarded, and the error is logged. So is every error that
// the default error handler answers, since it does not show them: to [WithLogger] or,
// without, to [slog.Default]; a limit that a user met and a cancelled request as
// warnings.
//
// Where f panics, or ends its goroutine, what is not committed is discarded as well,
// and the panic goes on: a recoverer within Handler, as web frameworks have one, answers
// without half of a change being committed with its page.
//
// The error handler writes to the client, past what may stand between Handler and f: a
// middleware that logs or compresses all answers belongs outside of Handler.
func (m *Middleware) HandlerFunc(f func(http.ResponseWriter, *http.Request, *sessions.Session) error) http.Handler {
	if f == nil {
		panic("middleware: HandlerFunc of a nil function")
	}
	return m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, ok := m.manager.Serving(r.Context()).(*request)
		if !ok { // WithSkip
			err := fmt.Errorf("%w: HandlerFunc serves a request that WithSkip takes out; serve it by a plain handler", sessions.ErrNoMiddleware)
			m.logFailure(r, nil, err)
			m.onError(w, r, err)
			return
		}
		if q.answering.Load() { // f is a page that the error handler shows
			s, err := sessions.Load(r.Context())
			if err == nil {
				err = f(w, r, s)
			}
			if err != nil {
				m.logFailure(r, s, err)
				answerError(w, r, err)
			}
			return
		}
		q.run(r, func(s *sessions.Session) error { return f(w, r, s) })
	}))
}

// run runs a handler's function on the session of the handler's request.
func (q *request) run(r *http.Request, f func(*sessions.Session) error) {
	q.mu.Lock()
	q.handler = r
	q.mu.Unlock()
	s, err := sessions.Load(r.Context())
	if err != nil {
		q.giveUp(err)
		return
	}
	returned := false
	defer func() {
		if !returned { // a panic or Goexit
			s.Discard()
		}
	}()
	err = f(s)
	returned = true
	if err != nil {
		s.Discard()
		q.giveUp(err)
	}
}

// giveUp lets the error handler answer err, unless the response has begun. What the
// request has changed is discarded by then; only a logout is still committed.
func (q *request) giveUp(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first, failed := q.Respond()
	told := failed != nil && errors.Is(err, failed)
	switch {
	case !first && told: // the error handler has answered, and Write has said so
		return
	case first && failed != nil && !told:
		err = errors.Join(err, failed)
	}
	if s := q.Loaded(); s != nil && (!first || q.m.silent) {
		q.m.logFailure(q.handler, s, err)
	}
	if first {
		q.answer(err)
	}
}

// logFailure logs a handler's error that nobody else is told of.
func (m *Middleware) logFailure(r *http.Request, s *sessions.Session, err error) {
	level := slog.LevelError
	if StatusOf(err) < 500 || errors.Is(err, context.Canceled) || r.Context().Err() == context.Canceled {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err)}
	if s != nil {
		attrs = append(attrs, slog.Any("session", s))
	}
	m.log().LogAttrs(r.Context(), level, "a handler failed", attrs...)
}

// log returns where to say what must be heard also without WithLogger.
func (m *Middleware) log() *slog.Logger {
	if m.logger == nil {
		return slog.Default()
	}
	return m.logger
}

// answerError is the default error handler.
func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status := StatusOf(err)
	http.Error(w, http.StatusText(status), status)
}

// StatusOf returns the status with which the default error handler answers err, which
// tells whose affair it is: 503 where the store failed, a record does not open, or the
// request was cancelled; 403 where the owner has too many sessions, or a proof is not
// fresh; 404 where a handle names none of the owner's sessions; 409 where the session was
// ended meanwhile; 413 where it is too large; and 500 otherwise. It is for an error
// handler of your own, and for handlers of a framework, which answer themselves.
func StatusOf(err error) int {
	switch {
	case isAny(err, ErrNotFresh, sessions.ErrTooManySessions):
		return http.StatusForbidden
	case isAny(err, sessions.ErrEnded): // as by a logout in another tab
		return http.StatusConflict
	case isAny(err, stores.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case isAny(err, stores.ErrUnavailable, sessions.ErrUnreadable, sessions.ErrBusy, context.DeadlineExceeded, context.Canceled):
		return http.StatusServiceUnavailable
	case isAny(err, stores.ErrNotFound): // by Manager.Revoke
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}
