package stores

import (
	"context"
	"encoding/base64"
	"time"
)

// OwnerKey is the keyed hash under which a store knows the owner of sessions.
// Without the key nobody can tell from a database who the owner is. OwnerKeys
// are comparable.
type OwnerKey [24]byte

// String returns the 32 base64url characters of k.
func (k OwnerKey) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// MarshalText returns the same as [OwnerKey.String].
func (k OwnerKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Entry is one session in the list of an owner's.
type Entry struct {
	Key      Key       // of the session
	Data     []byte    // sealed: what a list of sessions shows
	Deadline time.Time // when the entry leaves the list by itself

	// Added is set by Entries: when the entry of this Key was first added, by
	// the clock of the store, so that all who read a list find its entries in
	// one order.
	Added time.Time

	// Expires is set by Entries: when the session's record ends; zero where
	// the store has no live record, because it has ended or because it is
	// only about to be created.
	Expires time.Time
}

// OrphanAge is how old an entry without a record may become. No login is under
// way for so long: the record has ended, or will never be there.
const OrphanAge = time.Hour

// OwnerIndex is a [Store] that can list and end the sessions of one owner.
//
// These rules continue those of [Store]; package storetest proves them.
//
//  8. AddEntry adds an entry, or replaces that of the same Key, whose Added stays.
//     It does not ask whether there is a record: the entry is written first, so
//     that no live session is ever missing from the list.
//  9. Entries returns the entries whose Deadline is not past, in any order. An
//     entry that was added longer than [OrphanAge] ago and has no record leaves
//     the list. It costs in proportion to the list, not to the store.
//  10. RemoveOwned removes the records of the given keys, then their entries. It is
//     idempotent. What has no entry under this owner it may remove or not.
//  11. Epoch is "" until NewEpoch is called for the owner; NewEpoch gives the owner
//     a mark that no epoch ever had. It is kept for as long as any session lives
//     that was begun before.
//  12. Errors are as in rule 3: every failure wraps [ErrUnavailable].
type OwnerIndex interface {
	// AddEntry writes e into owner's list.
	AddEntry(ctx context.Context, owner OwnerKey, e Entry) error

	// Entries returns owner's list.
	Entries(ctx context.Context, owner OwnerKey) ([]Entry, error)

	// RemoveOwned removes sessions of owner, records first.
	RemoveOwned(ctx context.Context, owner OwnerKey, keys ...Key) error

	// Epoch returns owner's epoch, "" if there was none yet.
	Epoch(ctx context.Context, owner OwnerKey) (string, error)

	// NewEpoch begins a new epoch for owner.
	NewEpoch(ctx context.Context, owner OwnerKey) error
}

// MinEpochAge is for how long at the least a store keeps an epoch (rule 11):
// browsers keep no cookie for more than 400 days, and no session is configured to
// live longer. To keep it longer does no harm.
const MinEpochAge = 401 * 24 * time.Hour
