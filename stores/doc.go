// Package stores says what a store of sessions is. The stores themselves are in the
// folders below: cookiestore keeps sessions in the client's cookie, memstore in the
// process, redisstore and firestorestore on a server, hybridstore in the cookie or, if
// they are large, on a server.
//
// Who uses a store needs its constructor, and of this package the errors. The rest is
// for who writes one: a [Server] keeps records under keys and replaces them by
// compare-and-swap, a [Codec] spells a record in a cookie, and a [Store] says which of
// the two it is. A store sees a key, sealed bytes and a time, and never a session's ID,
// a cookie, an encryption key or a value. Package storetest proves that a Server keeps
// its rules; examples/filestore is one in about a hundred lines.
package stores
