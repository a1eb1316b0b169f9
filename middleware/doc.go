// Package middleware is the door of the house: it connects sessions to net/http.
// [New] takes a store and options, checks them together once, and returns a
// [Middleware] whose Handler goes around your own.
//
// It reads and writes the cookie, loads the session before the handler where
// autoload says so, and commits it once, just before the first byte of the
// response. It knows nothing of how a record is sealed or kept.
package middleware
