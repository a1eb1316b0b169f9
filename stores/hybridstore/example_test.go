package hybridstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A session leaves the cookie when it has no room there any more.
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
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	if err != nil {
		fmt.Println(err)
		return
	}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc))
	if err != nil {
		fmt.Println(err)
		return
	}

	const text = sessions.Key[string]("text")
	for _, size := range []int{100, 10_000} {
		handler := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			if err == nil {
				err = text.Set(s, strings.Repeat("x", size))
			}
			if err != nil {
				http.Error(w, "try again later", http.StatusServiceUnavailable)
			}
		}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		inCookie := strings.Contains(w.Result().Cookies()[0].Value, ".")
		fmt.Printf("%d bytes: in the cookie %t, on the server %d\n", size, inCookie, server.Len())
	}

	// Output:
	// 100 bytes: in the cookie true, on the server 0
	// 10000 bytes: in the cookie false, on the server 1
}
