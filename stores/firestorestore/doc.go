// Package firestorestore keeps sessions in Firestore (native mode), through the
// official client.
//
// One session is one document of a collection, "sessions" by default:
//
//	data    bytes      the sealed record
//	mark    bytes      16 random bytes, new with every save, and those of the
//	                   save before, or zeros
//	expire  timestamp  when the session ends
//
// Its ID is the letter s and the text of the session's [stores.Key], which logs
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
//	gcloud firestore indexes fields update mark --collection-group=sessions --disable-indexes
//	gcloud firestore indexes fields update expire --collection-group=sessions --disable-indexes
//
// Where sessions have owners ([stores.OwnerIndex]) there are two more collections,
// named after the first:
//
//	sessions_owners/o<hash of the owner>
//		epoch   string     random, new with every "log out everywhere"
//		expire  timestamp  401 days later
//	sessions_owners/o<hash of the owner>/sessions_entries/s<key of the session>
//		data    bytes      the sealed entry of the list
//		expire  timestamp  the entry's deadline
//
//	gcloud firestore fields ttls update expire --collection-group=sessions_owners --enable-ttl
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
//	touch                              1 write
//	delete                             1 delete
//
//	add to an owner's list             1 write
//	an owner's list of n               2n reads, 1 at the least; 1 delete for each
//	                                   entry that leaves it, having no record
//	remove n of an owner's sessions    2n deletes
//	an owner's epoch                   1 read, or 1 write for a new one
//
// A request without a cookie, or one that leaves the session unread, costs
// nothing; one that only reads writes nothing. Only where a precondition fails
// is the document read once more, to find out why, and perhaps written again.
//
// # Why no transaction
//
// A save must replace the revision that was loaded and no other. A transaction
// would read the document a second time, hold a lock across two round trips, and
// make other requests of the session wait for it. A write with a precondition on
// the document's update time does the same in one round trip, and Firestore
// applies it or refuses it as a whole.
//
// The client retries a write when the connection breaks, although Firestore may
// have applied it: the retry then fails on what it wrote itself. The mark tells:
// who finds its own in the document has succeeded, also where another save came
// before the retry. Where two or more did, it looks like a conflict, and the
// change is made again on top of theirs: an increment that was acknowledged once
// counts twice. With lost replies and two writers at one session that happened 44
// times in 4,605, with four 22 times in 4,079.
//
// A [Store.Delete] of a revision leaves nothing that could tell. After a lost
// reply its answer is [stores.ErrNotFound]: the session is gone, but by whose
// hand is not known. For a session whose ID was just being changed that means
// that it ends, the handler's answer may be a 200 all the same, and the user logs in
// again, which is the safe side; a marker in its place would make every change of ID
// leave a document behind.
package firestorestore
