// Package migrate moves users from another session library to Bulla, one way, while
// they are logged in. At the first request that brings an old cookie the application
// takes over what it wants of the old session; the user has a session of Bulla's from
// then on, under a new ID, and the old cookie goes with the same response.
//
// A [Source] says where old sessions come from. Readers of the formats of others are in
// the packages beside this one: scs, gorilla, starsessions, starlette, aiohttpsession
// and authx. Any function will do.
//
// What a request with the old cookie finds:
//
//	a session of Bulla's is there       it counts; the old cookie is retired and deleted
//	the old session is there            adopted, written, retired; then the cookie is deleted
//	there is none, or it has expired    the cookie is deleted
//	two cookies open                    neither counts, and nothing is touched
//	the old store does not answer       503, and nothing is touched
//	the user has too many sessions      nobody, as at a login; nothing is touched
//	the new cookie can't be set         nothing is touched: a request of another site's page
//	Until has passed                    the cookie is deleted, and nothing else is looked at
//
// # Replays
//
// Who kept a copy of an old cookie could bring it again after a logout. So an old record
// on a server is retired as it is adopted: it has a minute to live, for the requests
// that are under way at once and for a browser that lost the answer. A deletion at once
// would log out those that come second. A session that was in the old cookie itself can't
// be retired: it can be brought again until it expires, or until [Source.Until]. Keep that
// time short, and where the reader takes a NotAfter, give it the moment of the switch.
//
// An ID that somebody planted is worth nothing afterwards: the new session has an ID of
// its own.
package migrate
