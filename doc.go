// Package bulla is an encrypted session kit for net/http: sessions in the client's
// cookie, on a server (Redis, SQL, Firestore, memory), or in both. The package itself has
// one function, Must; this says where to begin.
//
//	store := cookiestore.Sealed()                                  // where sessions are kept
//	mw, err := middleware.New(store, middleware.WithEncryptor(enc)) // what they are like
//	mux.Handle("GET /", mw.HandlerFunc(home))                      // your handlers
//
// and a handler:
//
//	const visits = sessions.Key[int]("visits")
//
//	func home(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
//		n, err := visits.Update(s, func(n int) int { return n + 1 })
//		...
//	}
//
// # The packages
//
//   - middleware connects sessions to net/http; all options are there. Begin with
//     middleware.New. Its sessionstest is for tests of your handlers.
//   - sessions is what a handler uses: the session, typed keys, Regenerate at login,
//     Destroy at logout, the list of a user's sessions.
//   - encrypt has the keys, and what seals sessions under them. Begin with
//     encrypt.NewAESGCM.
//   - stores has one folder a store: cookiestore, memstore, redisstore, sqlstore,
//     firestorestore, hybridstore. storetest proves one of your own.
//   - serialize turns values into bytes: JSON unless you choose Gob or CBOR.
//
// Each has examples, and the folder examples has programs, one idea each. The folder
// docs has recipes, helps to choose a store and to come from another library, counts
// what a request costs, and says how all is built; SECURITY.md says what is protected
// from whom.
//
// # A promise about formats
//
// What was written by one release opens in the next: a cookie, a record on a server,
// what stands in the place of a session that has ended, the list of a user's sessions.
// docs/format.md gives every byte of them.
package bulla
