// Package sessions is the room where a session lives while a request has it:
// [Session], typed keys ([Key], [Flash]), and the [Manager] that loads, commits,
// regenerates and ends sessions and decides what happens when two requests
// change one session at once.
//
// Values are kept encoded and decoded only when a typed key asks. What a request
// changes is kept as a log of operations. Commit writes with compare-and-swap;
// when another request was first, the log is replayed on the newer record, so
// neither loses its changes.
//
// The package knows nothing of cookies, headers, or which store it has; package
// middleware connects it to net/http.
package sessions
