package stores_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// Two requests loaded the same revision. The first save wins, the second learns
// of it.
func ExampleServer() {
	var server stores.Server
	server, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	key := stores.NewKey([24]byte{1, 2, 3}) // a hash of the session's ID
	rec := stores.Record{Data: []byte("one"), Expires: time.Now().Add(time.Hour)}
	rec.Revision, err = server.Save(ctx, key, rec)
	fmt.Println("create:", err)

	_, err = server.Save(ctx, key, rec)
	fmt.Println("first: ", err)
	_, err = server.Save(ctx, key, rec)
	fmt.Println("second:", errors.Is(err, stores.ErrConflict))
	// Output:
	// create: <nil>
	// first:  <nil>
	// second: true
}

// A key in a log or a file's name can be used to look its record up.
func ExampleParseKey() {
	key, err := stores.ParseKey("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
	fmt.Println(key, err)
	_, err = stores.ParseKey("a cookie of another program")
	fmt.Println(errors.Is(err, stores.ErrMalformed))
	// Output:
	// AAECAwQFBgcICQoLDA0ODxAREhMUFRYX <nil>
	// true
}
