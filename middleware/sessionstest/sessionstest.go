package sessionstest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// Set returns a change for [Request]: it sets the value under key.
func Set[T any](key sessions.Key[T], v T) func(*sessions.Session) error {
	return func(s *sessions.Session) error { return key.Set(s, v) }
}

// Request gives r the cookie of a session in which the changes were made, in their
// order, and returns r. The session is a new one, or the one that r has a cookie of
// already. A change is any function on a session, such as one that calls
// [sessions.Session.SetOwner] or [sessions.Session.SetAuthenticated].
//
// The session is stored: hooks and log hear of it. A session without anything in it has
// no cookie, and a session that a change destroyed loses it. A change that fails, and
// what keeps the session from being stored, ends the test.
func Request(t testing.TB, mw *middleware.Middleware, r *http.Request, changes ...func(*sessions.Session) error) *http.Request {
	t.Helper()
	var failed error
	w, ran := serve(mw, r, func(r *http.Request, s *sessions.Session) {
		for i, change := range changes {
			if failed = change(s); failed != nil {
				failed = fmt.Errorf("change %d of %d: %w", i+1, len(changes), failed)
				s.Discard()
				return
			}
		}
		failed = sessions.Commit(r.Context())
	})
	switch {
	case failed != nil:
		t.Fatalf("sessionstest: %v", failed)
	case ran != nil:
		t.Fatalf("sessionstest: %v", ran)
	}
	carry(r, w.Result())
	return r
}

// Session returns the session that the next request of r's client has, after resp has
// answered r: that of the cookie which resp set, or of r's own where resp set none; a
// new one where there is none or it has ended. With a nil resp it is r's.
//
// The session is read, and neither extended nor changed: what is set in it is not
// stored. With a cookie cache it may be the copy in the cookie, as it would be for the
// client.
func Session(t testing.TB, mw *middleware.Middleware, r *http.Request, resp *http.Response) *sessions.Session {
	t.Helper()
	next := bare(r)
	if resp != nil {
		carry(next, resp)
	}
	var found *sessions.Session
	_, err := serve(mw, next, func(_ *http.Request, s *sessions.Session) {
		found = s
		panic(look{}) // the middleware commits nothing, not even that the session was used
	})
	if err != nil {
		t.Fatalf("sessionstest: %v", err)
	}
	return found
}

// look ends a request whose session was only looked at.
type look struct{}

// serve has a request like r run through the middleware, up to f. It returns the
// response, and an error where f did not run.
func serve(mw *middleware.Middleware, r *http.Request, f func(*http.Request, *sessions.Session)) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	ran := false
	var err error
	handler := mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var s *sessions.Session
		if s, err = sessions.Load(r.Context()); err == nil {
			ran = true
			f(r, s)
		}
	}))
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(look{}) {
				panic(p)
			}
		}()
		handler.ServeHTTP(w, bare(r))
	}()
	switch {
	case err != nil:
		return w, fmt.Errorf("the session can't be loaded: %w", err)
	case !ran:
		return w, fmt.Errorf("the middleware's error handler answered %d; the session can't be loaded", w.Code)
	}
	return w, nil
}

// bare returns r without its body, which is the test's.
func bare(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Body = http.NoBody
	return r
}

// carry puts the cookies that resp set into r, as a browser would: those that have the
// name of another in its place.
func carry(r *http.Request, resp *http.Response) {
	have, set := r.Cookies(), resp.Cookies()
	if len(set) == 0 {
		return
	}
	r.Header.Del("Cookie")
	for _, c := range have {
		if !slices.ContainsFunc(set, func(s *http.Cookie) bool { return s.Name == c.Name }) {
			r.AddCookie(c)
		}
	}
	for i, c := range set {
		last := !slices.ContainsFunc(set[i+1:], func(s *http.Cookie) bool { return s.Name == c.Name })
		if last && c.MaxAge >= 0 {
			r.AddCookie(c)
		}
	}
}
