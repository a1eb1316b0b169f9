package firestorestore_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

// Sessions in Firestore, behind Firebase Hosting. These examples are not run, since
// they need a project.
func Example() {
	client, err := firestore.NewClient(context.Background(), firestore.DetectProjectID)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close() // the client is yours
	store, err := firestorestore.New(client)
	if err != nil {
		log.Fatal(err)
	}
	key, err := encrypt.ParseKey(os.Getenv("SESSION_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store,
		middleware.WithEncryptor(enc),
		middleware.WithRolling(14*24*time.Hour),
		middleware.WithPersistentCookie(),
		middleware.WithFirebaseHosting(),
	)
	if err != nil {
		log.Fatal(err)
	}

	const visits = sessions.Key[int]("visits")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err == nil {
			_, err = visits.Update(s, func(n int) int { return n + 1 })
		}
		if err != nil {
			http.Error(w, "please try again", http.StatusServiceUnavailable)
		}
	})
	log.Fatal(http.ListenAndServe(":8080", mw.Handler(http.DefaultServeMux)))
}

// What New returns goes to middleware.New, as any store does.
func ExampleNew() {
	client, err := firestore.NewClientWithDatabase(context.Background(), firestore.DetectProjectID, "my-database")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close() // the client is yours
	store, err := firestorestore.New(client,
		firestorestore.WithCollection("shop-sessions"),
		firestorestore.WithTimeout(2*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.Place().Name)
}

// A store is used without sessions too: for anything that is to be written only
// over what was read.
func ExampleStore_Save() {
	ctx := context.Background()
	client, err := firestore.NewClient(ctx, firestore.DetectProjectID)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := firestorestore.New(client, firestorestore.WithCollection("counters"))
	if err != nil {
		log.Fatal(err)
	}
	key := stores.NewKey([24]byte{1})
	rev, err := store.Save(ctx, key, stores.Record{Data: []byte("1"), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	_, err = store.Save(ctx, key, stores.Record{Data: []byte("2"), Expires: time.Now().Add(time.Hour), Revision: rev})
	if err != nil {
		log.Fatal(err)
	}
}
