package recipes

import (
	"net/http"

	"github.com/gorilla/csrf"
	"github.com/justinas/nosurf"

	"github.com/bulla-go/bulla/middleware"
)

// Protected refuses what pages of other origins send, but for GET and HEAD. Forms need
// nothing for it.
func Protected(mw *middleware.Middleware, mux http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(mw.Handler(mux))
}

// WithGorilla protects by a token in each form, {{csrf.TemplateField r}}. The key, 32
// bytes, is none of Bulla's.
func WithGorilla(key []byte, mw *middleware.Middleware, mux http.Handler) http.Handler {
	return csrf.Protect(key, csrf.Path("/"))(mw.Handler(mux))
}

// WithNosurf protects by a token in each form, {{nosurf.Token r}} under the name
// csrf_token.
func WithNosurf(mw *middleware.Middleware, mux http.Handler) http.Handler {
	h := nosurf.New(mw.Handler(mux))
	h.SetBaseCookie(http.Cookie{Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	return h
}
