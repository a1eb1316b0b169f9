//go:build unix

package drivers_test

import (
	"testing"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/storetest"
)

// The contract.
func TestContract(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		store := db.store(t)
		storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server { return store }})
	})
}
