// Package stores is the room where sealed records are kept: the [Store]
// contract, the identity of a session ([ID]), what the client carries
// ([Token]), what a store keeps ([Record]), and the errors.
//
// A store sees sealed bytes, a hash of the session's ID and a time. It knows
// nothing of keys, values or HTTP. One folder below holds one store: memstore,
// cookiestore; storetest proves that a store keeps the contract.
package stores
