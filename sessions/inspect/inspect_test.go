package inspect_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/inspect"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// visit returns the value of the cookie of a session that a request began.
func visit(store stores.Store, options ...middleware.Option) (string, error) {
	mw, err := middleware.New(store, options...)
	if err != nil {
		return "", err
	}
	w := httptest.NewRecorder()
	mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err != nil {
			panic(err)
		}
		if err := sessions.Key[string]("name").Set(s, "Ada"); err != nil {
			panic(err)
		}
	})).ServeHTTP(w, httptest.NewRequest("GET", "https://example.com/", nil))
	return w.Result().Cookies()[0].Value, nil
}

func ExampleOpen() {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	if err != nil {
		fmt.Println(err)
		return
	}
	cookie, err := visit(cookiestore.Sealed(), middleware.WithEncryptor(enc))
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := inspect.Open(cookiestore.Sealed(), sessions.Config{Encryptor: enc, Name: "__Host-Http-session"}, cookie, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Kind)
	for name, data := range found.Values() {
		fmt.Printf("%s: %s\n", name, data)
	}
	// Output:
	// record in a cookie
	// name: "Ada"
}

// Open opens what a cookie cache has given out, with every algorithm. It tries it as
// a record first, and that must not spoil it.
func TestOpenCopy(t *testing.T) {
	for name, newRing := range map[string]func(...encrypt.Key) (*encrypt.Keyring, error){
		"AES-256-GCM": encrypt.NewAESGCM, "XChaCha20-Poly1305": encrypt.NewXChaCha20Poly1305, "AES-128-CBC-HMAC-SHA-256": encrypt.NewAESCBCHMAC,
	} {
		ring, err := newRing(encrypt.GenerateKey())
		require.NoError(t, err)
		store, err := memstore.New()
		require.NoError(t, err)
		cookie, err := visit(store, middleware.WithEncryptor(ring), middleware.WithCookieCache(time.Minute), middleware.WithCookieName("name"))
		require.NoError(t, err)
		for range 2 {
			found, err := inspect.Open(store, sessions.Config{Encryptor: ring, Name: "name"}, cookie, nil)
			require.NoError(t, err, name)
			require.Equal(t, "copy in a cookie", found.Kind)
			require.Equal(t, map[string][]byte{"name": []byte(`"Ada"`)}, maps.Collect(found.Values()))
		}
		_, err = inspect.Open(store, sessions.Config{Encryptor: ring, Name: "another"}, cookie, nil)
		require.ErrorIs(t, err, encrypt.ErrTampered, name)
	}
}
