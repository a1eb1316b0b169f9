package memstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func keyOf(what string) stores.Key {
	hash := sha256.Sum256([]byte(what))
	return stores.NewKey([24]byte(hash[:24]))
}

// The manager of package sessions does this: the store is given to
// middleware.New.
func Example() {
	store, err := memstore.New(memstore.WithMaxSessions(100_000))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	key := keyOf("a session's ID")

	rev, err := store.Save(ctx, key, stores.Record{
		Data:    []byte("sealed bytes"),
		Expires: time.Now().Add(time.Hour),
	})
	fmt.Println("saved:", err)

	rec, err := store.Load(ctx, key, stores.Fresh)
	fmt.Printf("loaded: %s %v\n", rec.Data, err)

	// The end of a session is a short record over the long one.
	rec = stores.Record{Data: []byte("ended"), Expires: time.Now().Add(10 * time.Minute), Revision: rev}
	_, err = store.Save(ctx, key, rec)
	fmt.Println("ended:", err)

	// A save that comes too late does not bring it back.
	_, err = store.Save(ctx, key, rec)
	fmt.Println(errors.Is(err, stores.ErrConflict))
	// Output:
	// saved: <nil>
	// loaded: sealed bytes <nil>
	// ended: <nil>
	// true
}

// The list of a user's sessions, for as long as they may live.
func ExampleStore_Entries() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, owner := context.Background(), keyOf("a user")
	for _, device := range []string{"phone", "laptop"} {
		_, err := store.AddEntry(ctx, owner, stores.Entry{Key: keyOf(device), Data: []byte(device), Expires: time.Now().Add(time.Hour)})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	list, err := store.Entries(ctx, owner)
	for _, e := range list {
		fmt.Printf("%d %s\n", e.Number, e.Data)
	}
	fmt.Println(err)
	// Unordered output:
	// 1 phone
	// 2 laptop
	// <nil>
}

// A list of what has ended, as the manager of package sessions uses it: it is given to
// middleware.WithRevocation. Of those who write at once under one key one is first, and
// the others are told what it wrote.
func ExampleNewRevocations() {
	list, err := memstore.NewRevocations()
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, key, until := context.Background(), keyOf("a session's ID"), time.Now().Add(time.Hour)
	for _, value := range []string{"ended", "moved"} {
		now, err := list.Swap(ctx, "", stores.Revocation{Key: key, Value: value, Until: until})
		fmt.Println(now, err)
	}

	// Each process reads what is new every few seconds.
	page, err := list.Since(ctx, "")
	fmt.Println(len(page.Entries), page.Entries[0].Value, err)
	page, err = list.Since(ctx, page.Next)
	fmt.Println(len(page.Entries), err)
	// Output:
	// ended <nil>
	// ended <nil>
	// 1 ended <nil>
	// 0 <nil>
}
