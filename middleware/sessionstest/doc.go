// Package sessionstest helps to test handlers that have sessions: [Request] gives a
// request a session with values in it, and [Session] finds the session that a response
// left behind.
//
//	r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil), sessionstest.Set(user, "ada"))
//	w := httptest.NewRecorder()
//	handler.ServeHTTP(w, r)
//	s := sessionstest.Session(t, mw, r, w.Result())
//	name, err := user.Get(s)
//
// Both go through the middleware and its store, as a browser's requests do: they work
// with every store and every option, and a test sees what a user would. Nothing is faked
// but the browser.
//
// Time is testing/synctest's: in its bubble a session ends while the test sleeps, without
// waiting. A store over a network does not work there; memstore and cookiestore do.
package sessionstest
