package middleware

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/bulla-go/bulla/sessions"
)

// autoload says which requests get their session before the handler runs.
type autoload struct {
	all     bool
	mux     *http.ServeMux // nil without patterns
	regexps []*regexp.Regexp
	funcs   []func(*http.Request) bool
}

// verdict is the mux's handler: true for every pattern. Anything else that the
// mux finds, such as its redirect from /app to /app/, is no match.
type verdict bool

func (verdict) ServeHTTP(http.ResponseWriter, *http.Request) {}

func newAutoload(o *options) (autoload, error) {
	a := autoload{all: o.autoloadAll, funcs: o.autoloadFuncs}
	for _, p := range o.autoload {
		if a.mux == nil {
			a.mux = http.NewServeMux()
		}
		if err := handle(a.mux, p, true); err != nil {
			return a, fmt.Errorf("%w: WithAutoload(%q): %v; use patterns of http.ServeMux that do not conflict", sessions.ErrConfig, p, err)
		}
	}
	if a.mux != nil {
		// Everything else. Without it the mux would look for other methods
		// of the path, to answer 405, which costs more than the match. It
		// fails where the application has given this pattern itself.
		handle(a.mux, "/", false)
	}
	for i, re := range o.autoloadRegex {
		if re == nil {
			return a, fmt.Errorf("%w: WithAutoloadRegexp: expression %d is nil; leave it out", sessions.ErrConfig, i+1)
		}
		// Anchored: a regexp for /admin that matched /administrator would
		// surprise where it is taken for an access rule.
		whole, err := regexp.Compile(`\A(?:` + re.String() + `)\z`)
		if err != nil {
			return a, fmt.Errorf("%w: WithAutoloadRegexp(%q): %v; give an expression that stands alone", sessions.ErrConfig, re, err)
		}
		a.regexps = append(a.regexps, whole)
	}
	return a, nil
}

// handle registers pattern; a ServeMux panics on what is invalid.
func handle(mux *http.ServeMux, pattern string, v verdict) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	mux.Handle(pattern, v)
	return nil
}

// any tells whether some request may match.
func (a *autoload) any() bool {
	return a.all || a.mux != nil || len(a.regexps) > 0 || len(a.funcs) > 0
}

func (a *autoload) matches(r *http.Request) bool {
	if a.all {
		return true
	}
	if a.mux != nil {
		if h, _ := a.mux.Handler(r); h == http.Handler(verdict(true)) {
			return true
		}
	}
	for _, re := range a.regexps {
		if re.MatchString(r.URL.Path) {
			return true
		}
	}
	for _, f := range a.funcs {
		if f(r) {
			return true
		}
	}
	return false
}
