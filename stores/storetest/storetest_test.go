package storetest

import (
	"testing"

	"github.com/bulla-go/bulla/stores"
)

func TestReference(t *testing.T) {
	Run(t, Config{New: func(t *testing.T) stores.Server { return newReference() }, Synctest: true})
	Run(t, Config{New: func(t *testing.T) stores.Server { return newReference() }})
}
