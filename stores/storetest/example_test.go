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
		newStore := func(opts ...memstore.Option) stores.Server {
			store, err := memstore.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
		storetest.Run(t, storetest.Config{
			New: func(t *testing.T) stores.Server { return newStore() },
			// One way to make it fail. A store with a server has more.
			Small: func(t *testing.T) stores.Server { return newStore(memstore.WithMaxSessions(1000)) },
			// Without this the same tests wait in real time.
			Synctest: true,
		})
	}

	fmt.Printf("go test runs a %T\n", test)
	// Output: go test runs a func(*testing.T)
}

func ExampleRunRevocations() {
	// In the list's own test file this is func TestRevocations(t *testing.T).
	test := func(t *testing.T) {
		newList := func(opts ...memstore.Option) stores.RevocationList {
			list, err := memstore.NewRevocations(opts...)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		storetest.RunRevocations(t, storetest.RevocationConfig{
			New: func(t *testing.T) stores.RevocationList { return newList() },
			// One way to make it fail. A list with a server has more.
			Small:    func(t *testing.T) stores.RevocationList { return newList(memstore.WithMaxRevocations(1000)) },
			Synctest: true,
		})
	}

	fmt.Printf("go test runs a %T\n", test)
	// Output: go test runs a func(*testing.T)
}
