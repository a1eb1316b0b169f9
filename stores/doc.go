// Package stores is the room where sealed records are kept: the [Store]
// contract, the identity of a session ([ID]), what the client carries
// ([Token]), what a store keeps ([Record]), and the errors.
//
// A store keeps sealed bytes and a time under a hash of the session's ID. The ID
// itself is in the token that it is given, and it must not keep or log that. It
// knows nothing of keys, values or HTTP. One folder below holds one store: memstore,
// cookiestore; storetest proves that a store keeps the contract.
package stores
