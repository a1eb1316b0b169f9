package sessions

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// labelDomain is the binding's domain of what a list of sessions shows. It is
// bound to the owner, not to a session's ID, which the list can't know; so,
// unlike a record, it opens with a dump and the keys.
const labelDomain = "bulla entry of an owner"

// owners knows the sessions of each owner. What makes "log out everywhere" hold
// is the order of writes and the owner's epoch:
//
//   - An entry is written before its record and removed after it, so no live
//     session is missing from the list. While a session's ID changes it has two,
//     and the newer one names the key that it replaces.
//   - An owner's epoch changes before the list is read to end what is on it. A
//     login remembers the epoch in which it began, and so does its record. When
//     it has written entry and record it asks for the epoch again: if that has
//     changed, the login began before the end and removes what it wrote. If it
//     has not, the entry was there before the list was read.
type owners struct {
	index stores.OwnerIndex
	mac   *encrypt.MAC
	label []byte // binding prefix
	scope []byte // of the hash: the application
	filed string // what the ownership of a session begins with that is filed under the first key
	most  int    // sessions of one owner; 0: any number
	evict bool   // end the oldest instead of refusing the new one
}

func newOwners(store stores.Store, c Config) (*owners, error) {
	if len(c.Owners) == 0 {
		if c.MaxSessionsPerOwner != 0 {
			return nil, fmt.Errorf("%w: WithMaxSessionsPerOwner needs to know owners; add WithOwners", ErrConfig)
		}
		return nil, nil
	}
	index, ok := store.(stores.OwnerIndex)
	if !ok {
		return nil, fmt.Errorf("%w: WithOwners needs a store on a server that can list sessions; the %s store can't", ErrConfig, stores.Describe(store).Name)
	}
	if c.MaxSessionsPerOwner < 0 {
		return nil, fmt.Errorf("%w: WithMaxSessionsPerOwner(%d) is negative; leave it out for no limit", ErrConfig, c.MaxSessionsPerOwner)
	}
	mac, err := encrypt.NewMAC("bulla owner", c.Owners...)
	if err != nil {
		return nil, fmt.Errorf("%w: WithOwners: %w", ErrConfig, err)
	}
	o := &owners{
		index: index, mac: mac,
		label: bindingPrefix(labelDomain, c.Audience, c.Name),
		scope: append(binary.AppendUvarint(nil, uint64(len(c.Audience))), c.Audience...),
		most:  c.MaxSessionsPerOwner, evict: c.EndOldest,
	}
	// Of the key alone: a hash of every owner would have to be computed anew at
	// every load. No owner has the empty name.
	o.filed = o.first("").String()[:filedSize] + "\x00"
	return o, nil
}

func (o *owners) message(user string) []byte { return append(slices.Clone(o.scope), user...) }

// first returns the key under which new sessions of user are filed.
func (o *owners) first(user string) stores.OwnerKey {
	return stores.OwnerKey(o.mac.Append(nil, o.message(user), len(stores.OwnerKey{})))
}

// hashes returns the keys under which user may be filed; the first is where new
// sessions are.
func (o *owners) hashes(user string) []stores.OwnerKey {
	var all []stores.OwnerKey
	for _, tag := range o.mac.All(o.message(user), len(stores.OwnerKey{})) {
		all = append(all, stores.OwnerKey(tag))
	}
	return all
}

// ownership is what a record says of its owner: who it is, under which of the
// owners' keys it is filed, and the epochs that its login knew.
type ownership struct {
	user   string
	filed  string   // the beginning of the hash of nobody, which tells the keys apart
	epochs []string // each hash's that had one
}

const filedSize = 8

func parseOwnership(text string) (o ownership, ok bool) {
	if text == "" { // as in every session without an owner
		return ownership{}, false
	}
	parts := strings.SplitN(text, "\x00", 3)
	if len(parts) != 3 {
		return ownership{}, false
	}
	return ownership{user: parts[2], filed: parts[0], epochs: strings.Fields(parts[1])}, true
}

func (o ownership) String() string {
	return o.filed + "\x00" + strings.Join(o.epochs, " ") + "\x00" + o.user
}

// current returns user's ownership as of now.
func (o *owners) current(ctx context.Context, user string) (ownership, error) {
	hashes := o.hashes(user)
	w := ownership{user: user, filed: strings.TrimSuffix(o.filed, "\x00")}
	for _, h := range hashes {
		epoch, err := o.index.Epoch(ctx, h)
		if err != nil {
			return w, err
		}
		if epoch != "" {
			w.epochs = append(w.epochs, epoch)
		}
	}
	return w, nil
}

// begun tells whether w began in the epochs that hold now.
func (w ownership) begun(now ownership) bool {
	for _, epoch := range now.epochs {
		if !slices.Contains(w.epochs, epoch) {
			return false
		}
	}
	return true
}

// sameOwner tells whether two records are sessions of one owner.
func sameOwner(a, b serialize.Metadata) bool {
	x, ok := parseOwnership(a.Owner)
	y, _ := parseOwnership(b.Owner)
	return ok && x.user == y.user
}
