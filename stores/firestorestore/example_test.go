package firestorestore_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

// Sessions in Firestore, behind Firebase Hosting. The example is not run, since
// it needs a project.
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
		middleware.WithLifetime(14*24*time.Hour),
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

func ExampleNew() {
	client, err := firestore.NewClientWithDatabase(context.Background(), "my-project", "my-database")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = firestorestore.New(client,
		firestorestore.WithCollection("shop-sessions"),
		firestorestore.WithTimeout(2*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
}
