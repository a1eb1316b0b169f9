// Package firestorestore provides a store that keeps sessions in Firestore (native
// mode), through the official client.
//
// One session is one document of a collection, "sessions" by default:
//
//	data    bytes      the sealed record
//	expire  timestamp  when the session ends
//	write   integer    random, new with every write
//
// Its ID is the letter s and the name of the session's [stores.Key], which logs
// show too.
//
// # Setting up
//
// Sessions that are never asked for again go by a TTL policy:
//
//	gcloud firestore fields ttls update expire --collection-group=sessions --enable-ttl
//
// Firestore deletes them some hours or days late, and bills these deletes. The
// store does not rely on it: it looks at expire on every read.
//
// Nobody queries these fields, but Firestore indexes each by default. Without
// indexes writes are cheaper and faster, and their rate is not bound by the
// index of expire, whose values keep growing:
//
//	gcloud firestore indexes fields update data --collection-group=sessions --disable-indexes
//	gcloud firestore indexes fields update write --collection-group=sessions --disable-indexes
//	gcloud firestore indexes fields update expire --collection-group=sessions --disable-indexes
//
// Where sessions have owners ([stores.OwnerIndex]) their lists are in collections
// of their own, named after the first:
//
//	sessions_owners/o<hash of the owner>/sessions_entries/s<key of the session>
//		data    bytes      the sealed entry of the list
//		expire  timestamp  when it leaves the list
//		number  integer    its number, if that is not when it was created
//
//	gcloud firestore fields ttls update expire --collection-group=sessions_entries --enable-ttl
//
// The list is read by the index of expire in sessions_entries: that one must stay.
//
// Behind Firebase Hosting the cookie must be named __session, because Hosting
// strips every other from the request: use middleware.WithFirebaseHosting.
//
// Security rules do not apply to servers, which use this package. They must
// keep web and mobile clients away from these collections.
//
// # Costs
//
//	load, document there or missing    1 read
//	save, create or replace            1 write
//	put                                1 write
//	touch                              1 write
//	load n, save n                     n reads, n writes
//
//	add to an owner's list             1 write
//	an owner's list of n               n reads, 1 at the least
//	remove n of them                   n deletes
//
// Each of these is one round trip, or one for every 500. A request without a
// cookie, or one that leaves the session unread, costs nothing; one that only
// reads writes nothing; there is never a transaction. A create that meets a
// document costs one read more, to tell a live one from one that has expired.
package firestorestore
