// Package memstore keeps sessions in the memory of one process. They end with
// it, and no other process sees them.
//
// The store starts no goroutine and needs no closing. What has expired is
// removed in small steps by the writes that follow, so no sweep ever stops the
// world; at its limit the store refuses new sessions and keeps the live ones,
// which can still be changed, ended and, by a login, given a new ID.
package memstore
