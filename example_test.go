package bulla_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const visits = sessions.Key[int]("visits")

func count(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Visit %d", n)
	return err
}

// A session in the cookie, which needs nothing but a key.
func Example() {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // in a program: encrypt.ParseKey
	if err != nil {
		fmt.Println(err)
		return
	}
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewTLSServer(mw.HandlerFunc(count))
	defer server.Close()

	browser := server.Client()
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		res, err := browser.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(text))
	}
	// Output:
	// Visit 1
	// Visit 2
}
