// Package firestoretest is a small Firestore in this process, for tests. It
// speaks gRPC over a loopback connection, so that the official client with its
// own retries is what is tested.
//
// It serves the two calls by which the client reads and writes documents,
// BatchGetDocuments and Commit, as the API's reference defines them:
// preconditions, update times that grow with every change, atomic commits,
// names that are refused, the 1 MiB limit. Of queries it serves RunQuery for the
// documents of a collection that have a later time in a field. What it does not
// serve (other queries, transactions, transforms, masks with nested paths) fails
// with UNIMPLEMENTED and is never half done. It counts what Firestore would bill, and a [Fault]
// makes calls fail, hang, or lose their replies.
package firestoretest
