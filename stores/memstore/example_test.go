package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func Example() {
	store, err := memstore.New(memstore.WithMaxSessions(100_000))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	tok, rev, err := store.Save(ctx, stores.Token{ID: stores.NewID()}, stores.Record{
		Data:    []byte("sealed bytes"),
		Expires: time.Now().Add(time.Hour),
	})
	fmt.Println("saved:", err)

	rec, err := store.Load(ctx, tok)
	fmt.Printf("loaded: %s %v\n", rec.Data, err)

	err = store.Delete(ctx, tok, rev)
	fmt.Println("deleted:", err)

	_, err = store.Load(ctx, tok)
	fmt.Println(errors.Is(err, stores.ErrNotFound))
	// Output:
	// saved: <nil>
	// loaded: sealed bytes <nil>
	// deleted: <nil>
	// true
}
