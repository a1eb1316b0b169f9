package stores_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func ExampleParseToken() {
	tok, mac, err := stores.ParseToken("oPJOFlnHvzAsRJmoI8rSgpLrdTUvxQ0B.c2VhbGVk")
	if err != nil {
		fmt.Println(err)
		return
	}
	payload, err := tok.DecodePayload()
	fmt.Println(len(mac), string(payload), err)

	_, _, err = stores.ParseToken("a cookie of another program")
	fmt.Println(errors.Is(err, stores.ErrMalformed))
	// Output:
	// 0 sealed <nil>
	// true
}

// An ID that is logged by mistake logs nobody in.
func ExampleID() {
	tok, _, err := stores.ParseToken("oPJOFlnHvzAsRJmoI8rSgpLrdTUvxQ0B")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tok.ID)
	fmt.Println(tok.ID.Key())
	// Output:
	// WKzB12FH_QiWkbAX1beD7b4b1LlBUNiK
	// WKzB12FH_QiWkbAX1beD7b4b1LlBUNiK
}

// Two requests loaded the same revision. The first save wins, the second learns
// of it.
func ExampleStore() {
	var store stores.Store
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	tok := stores.Token{ID: stores.NewID()}
	rec := stores.Record{Data: []byte("one"), Expires: time.Now().Add(time.Hour)}
	tok, rec.Revision, err = store.Save(ctx, tok, rec)
	fmt.Println("create:", err)

	_, _, err = store.Save(ctx, tok, rec)
	fmt.Println("first: ", err)
	_, _, err = store.Save(ctx, tok, rec)
	fmt.Println("second:", errors.Is(err, stores.ErrConflict))
	// Output:
	// create: <nil>
	// first:  <nil>
	// second: true
}
