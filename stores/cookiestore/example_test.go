package cookiestore_test

import (
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// The manager of package sessions calls the codec with what an encryptor sealed.
func ExampleSealed() {
	cookie := cookiestore.Sealed().Place().Cookie

	payload, err := cookie.Encode([]byte("sealed bytes"), nil)
	fmt.Println(payload, err)

	data, _, err := cookie.Decode(payload, nil)
	fmt.Printf("%s %v\n", data, err)
	// Output:
	// c2VhbGVkIGJ5dGVz <nil>
	// sealed bytes <nil>
}

func ExampleSigned() {
	store, err := cookiestore.Signed(encrypt.GenerateKey()) // from a secret store, in earnest
	if err != nil {
		fmt.Println(err)
		return
	}
	cookie := store.Place().Cookie

	payload, err := cookie.Encode([]byte("theme: dark"), []byte("shop, session, ...")) // the manager sets it
	if err != nil {
		fmt.Println(err)
		return
	}
	data, _, err := cookie.Decode(payload, []byte("shop, session, ..."))
	fmt.Printf("%s %v\n", data, err)

	_, _, err = cookie.Decode(payload, []byte("shop, other cookie, ..."))
	fmt.Println(errors.Is(err, stores.ErrTampered))
	// Output:
	// theme: dark <nil>
	// true
}
