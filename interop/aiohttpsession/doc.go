// Package aiohttpsession shares live sessions with Python's aiohttp-session (2.x): with
// its EncryptedCookieStorage or its RedisStorage. Package firestoresessions beside it
// has those of aiohttp-session-firestore.
//
//	store, err := aiohttpsession.Redis(client)
//	mw, err := aiohttpsession.New(store, aiohttpsession.Config{MaxAge: 14 * 24 * time.Hour})
//
// A typed key is one name of the Python session, and its value JSON. aiohttp-session
// saves only what has changed, and drops what it does not know of a record: so there is
// nothing that Bulla knows of a session beside its values, and what sets it, such as
// Session.Limit, is an error. A session ends MaxAge after its last change, on both sides;
// its beginning is not kept, so there is no absolute end. Where the reply to a save was
// lost and another change came at once, the answer is 503: there is no telling whether it
// was written. docs/interop.md says what else is lost, and how to come out of it again.
//
// SimpleCookieStorage is neither signed nor sealed, so it is not shared.
package aiohttpsession
