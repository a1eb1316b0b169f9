package storetest_test

import (
	"fmt"
	"testing"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

func ExampleRun() {
	// In the store's own test file this is func TestStore(t *testing.T).
	test := func(t *testing.T) {
		storetest.Run(t, storetest.Config{
			New: func(t *testing.T) stores.Store {
				store, err := memstore.New()
				if err != nil {
					t.Fatal(err)
				}
				return store
			},
			// Without this the same tests wait in real time, for over a second.
			Synctest: true,
		})
	}

	fmt.Printf("go test runs a %T\n", test)
	// Output: go test runs a func(*testing.T)
}
