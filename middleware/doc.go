// Package middleware gives the requests of a net/http server their sessions. [New]
// takes a store and options, and returns a [Middleware], which makes handlers of
// functions that are given their session and return their error:
//
//	mw, err := middleware.New(store, middleware.WithEncryptor(enc))
//	mux.Handle("GET /", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
//		…
//	}))
//
// Around handlers of any other kind goes [Middleware.Handler]; they reach their session
// by [sessions.Load]. The session is written once, just before the first byte of the
// response, and the cookie goes out with it. Options that do not go together are an
// error of New, which says what to do. To test handlers see package sessionstest.
package middleware
