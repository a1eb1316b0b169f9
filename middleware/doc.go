// Package middleware gives the requests of a net/http server their sessions. [New]
// takes a store and options, and returns a [Middleware] whose Handler goes around
// your own:
//
//	mw, err := middleware.New(store, middleware.WithEncryptor(enc))
//	http.ListenAndServe(addr, mw.Handler(mux))
//
// A handler reaches its session by [sessions.Load]. The session is written once, just
// before the first byte of the response, and the cookie goes out with it. Options that
// do not go together are an error of New, which says what to do.
package middleware
