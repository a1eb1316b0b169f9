package cookiestore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

func ExampleSealed() {
	store := cookiestore.Sealed()
	rec := stores.Record{
		Data:    []byte(strings.Repeat("sealed ", 100)),
		Expires: time.Now().Add(time.Hour),
		Room:    3900,
	}
	tok, _, err := store.Save(context.Background(), stores.Token{ID: stores.NewID()}, rec)
	fmt.Println(len(tok.Payload), err)

	rec.Room = 500
	_, _, err = store.Save(context.Background(), tok, rec)
	fmt.Println(err)
	// Output:
	// 934 <nil>
	// stores: the session is too large: the record takes 934 characters, the cookie has room for 500; keep less in the session, or keep it on a server
}

func ExampleSigned() {
	store, err := cookiestore.Signed(encrypt.GenerateKey()) // from a secret store, in earnest
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	tok := stores.Token{ID: stores.NewID(), Binding: []byte("shop, session, ...")} // the manager sets it
	tok, _, err = store.Save(ctx, tok, stores.Record{
		Data:    []byte("theme: dark"),
		Expires: time.Now().Add(time.Hour),
		Room:    3900,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := store.Load(ctx, tok)
	fmt.Printf("%s %v\n", rec.Data, err)

	tok.Binding = []byte("shop, other cookie, ...")
	_, err = store.Load(ctx, tok)
	fmt.Println(errors.Is(err, stores.ErrTampered))
	// Output:
	// theme: dark <nil>
	// true
}
