package middleware

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// ErrNotFresh: the user did not prove who they are of late. The default error handler
// answers 403.
var ErrNotFresh = errors.New("middleware: this step needs a fresh proof of who the user is")

// wayBack is where RequireFresh keeps what was asked for. A link can't put it there, it
// needs no field in the form of the login, and it survives the login, which changes the
// ID and not the values.
const wayBack = sessions.Key[string]("bulla.way-back")

// maxWayBack is how long a way back may be: a cookie has to have room for it.
const maxWayBack = 1024

// RequireFresh returns next for users who proved who they are no longer ago than within:
// [sessions.Session.SetAuthenticated] notes that, at each login and wherever a password or
// a second factor is asked for again. With a time as long as sessions live it asks for a
// login as such.
//
// Who opens a page without that is sent to the page of [WithProofPage]; when the proof is
// there, [WayBack] tells it where they wanted to go. Everything else is answered with
// [ErrNotFresh] by the error handler, 403 by default: a form that is sent, which is not
// repeated for anybody after a proof, since nobody would see what is sent then; what a
// script asks for (Sec-Fetch-Mode); and all, where there is no such page.
//
//	mux.Handle("/account/", mw.RequireFresh(15*time.Minute, account))
//
// Before next runs the store is asked where the session came from a copy in the cookie
// ([WithCookieCache]), so that one that was ended elsewhere does not pass. As with
// [Middleware.HandlerFunc], what next has changed and not committed is discarded if it
// panics.
//
// RequireFresh panics where within is not positive or next is nil.
func (m *Middleware) RequireFresh(within time.Duration, next http.Handler) http.Handler {
	if within <= 0 || next == nil {
		panic("middleware: RequireFresh of a time that is not positive, or of a nil handler")
	}
	return m.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		var err error
		if s.AuthenticatedWithin(within) {
			err = sessions.Commit(r.Context())
			switch {
			case err == nil && s.AuthenticatedWithin(within): // also as the store has it
				next.ServeHTTP(w, r)
				return nil
			case err != nil && !errors.Is(err, sessions.ErrEnded):
				return err
			}
		}
		if !m.provesFor(r) {
			return errors.Join(ErrNotFresh, err)
		}
		if err := keepWayBack(r, s); err != nil {
			return err
		}
		http.Redirect(w, r, m.proofPage, http.StatusSeeOther)
		return nil
	})
}

// provesFor tells whether r can be sent to the page for a proof: somebody looks at the
// answer, and it is not asked for by that page itself.
func (m *Middleware) provesFor(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode") // which old browsers do not send
	page, _, _ := strings.Cut(m.proofPage, "?")
	return m.proofPage != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		(mode == "" || mode == "navigate") && asked(r).EscapedPath() != page
}

// asked returns the URL that the client asked for; r.URL may have lost a prefix.
func asked(r *http.Request) *url.URL {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u
	}
	return r.URL
}

// keepWayBack notes in the session what r asked for. It is a courtesy: where there is no
// room for it, nothing is noted.
func keepWayBack(r *http.Request, s *sessions.Session) error {
	u := asked(r)
	path := u.EscapedPath()
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	// A crawler that comes without a cookie each time would leave a session each time.
	// Browsers say that they are none.
	crawler := s.IsNew() && r.Header.Get("Sec-Fetch-Mode") == ""
	if crawler || !ownPath(path) {
		return forgetWayBack(s)
	}
	err := wayBack.Set(s, path)
	if err == nil {
		err = sessions.Commit(r.Context()) // now, while there is something to be done about it
	}
	switch {
	case errors.Is(err, stores.ErrTooLarge), errors.Is(err, stores.ErrFull):
		return forgetWayBack(s)
	case errors.Is(err, sessions.ErrEnded):
		return nil
	}
	return err
}

// forgetWayBack removes an earlier one: it would lead to another page.
func forgetWayBack(s *sessions.Session) error {
	if err := wayBack.Delete(s); !errors.Is(err, sessions.ErrEnded) {
		return err
	}
	return nil
}

// WayBack returns what the user had asked for when [Middleware.RequireFresh] sent them
// to prove who they are: path and query, once. Where there is none it is fallback. A login
// ends with it:
//
//	http.Redirect(w, r, middleware.WayBack(s, "/"), http.StatusSeeOther)
//
// The result always is a path of this site. A fallback that is not, such as a link to
// another site in a form's field, is "/" instead. A session has one way back, that of
// the last page that asked for a proof.
func WayBack(s *sessions.Session, fallback string) string {
	path, err := wayBack.PopOr(s, "")
	switch {
	case err == nil && ownPath(path):
		return path
	case ownPath(fallback):
		return fallback
	}
	return "/"
}

// ownPath tells whether a browser that is redirected there stays on this site. What
// begins with two slashes names a host; browsers take a backslash for a slash, and drop
// control characters before they look.
func ownPath(path string) bool {
	if len(path) > maxWayBack || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return false
	}
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' }) {
		return false
	}
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == ""
}
