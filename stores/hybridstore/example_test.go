package hybridstore_test

import (
	"fmt"

	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// The store is given to middleware.New, together with an encryptor.
func ExampleNew() {
	server, err := memstore.New() // or redisstore.New, firestorestore.New
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := hybridstore.New(cookiestore.Sealed(), server)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Place().Name)
	// Output: hybrid of cookie and memory
}
