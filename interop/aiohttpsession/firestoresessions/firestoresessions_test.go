package firestoresessions

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

func serve(t testing.TB, client *firestore.Client, maxAge time.Duration) string {
	store, err := Firestore(client)
	require.NoError(t, err)
	mw, err := New(store, Config{MaxAge: maxAge})
	require.NoError(t, err)
	server := httptest.NewServer(mw.HandlerFunc(interoptest.Act))
	t.Cleanup(server.Close)
	return server.URL
}

func browse(t testing.TB, cookie string) *interoptest.Browser {
	return &interoptest.Browser{T: t, Name: CookieName, Cookie: cookie}
}

// Documents as the Python library sets them, and what is there afterwards. Its own code is
// not in Debian.
func TestDocuments(t *testing.T) {
	ctx := t.Context()
	client := firestoretest.New(t).Client(t)
	goes := serve(t, client, time.Hour)
	const id = "0123456789abcdefGHIJ"
	doc := client.Collection(Collection).Doc(id)
	set := func(created int64) {
		t.Helper()
		_, err := doc.Set(ctx, map[string]any{
			"data":   fmt.Sprintf(`{"created": %d, "session": {"user": "alice", "n": 7, "nan": NaN}}`, created),
			"expire": time.Now().Add(time.Hour),
		})
		require.NoError(t, err)
	}
	set(time.Now().Unix() - 10)
	b := browse(t, id)
	require.Equal(t, "alice", b.User(goes))
	require.EqualValues(t, 8, b.Do(goes, "incr=n").Session["n"])
	snap, err := doc.Get(ctx)
	require.NoError(t, err)
	require.Regexp(t, `^\{"created": \d+, "session": \{"n": 8, "nan": NaN, "user": "alice"\}, "bulla": "[\w-]+"\}$`, snap.Data()["data"])
	require.WithinDuration(t, time.Now().Add(time.Hour), snap.Data()["expire"].(time.Time), 10*time.Second)

	b.Do(goes, "login=bob")
	require.Len(t, b.Cookie, 32)
	require.Nil(t, browse(t, id).User(goes))
	snap, err = doc.Get(ctx)
	require.NoError(t, err)
	require.Equal(t, "{}", snap.Data()["data"], "what invalidate() leaves, and Python takes for no session")
	kept := b.Cookie
	b.Do(goes, "logout=1")
	require.Empty(t, b.Cookie)
	require.Nil(t, browse(t, kept).User(goes))

	// A change of Python's that crosses a logout brings the session back.
	set(time.Now().Unix())
	b = browse(t, id)
	b.Do(goes, "logout=1")
	require.Nil(t, browse(t, id).User(goes))
	set(time.Now().Unix())
	require.Equal(t, "alice", browse(t, id).User(goes))

	set(time.Now().Unix() - 3700)
	require.Nil(t, browse(t, id).User(goes), "created is what counts")
	require.Nil(t, browse(t, "unknown-unknown-unkn").User(goes))
}

// Changes in two processes beside ones of Python's: between the two none is lost.
func TestCase22GoAlone(t *testing.T) {
	server := firestoretest.New(t)
	one, two := serve(t, server.Client(t), time.Hour), serve(t, server.Client(t), time.Hour)
	b := browse(t, "")
	b.Do(one, "login=alice")
	var all sync.WaitGroup
	for _, base := range []string{one, two, one, two} {
		all.Go(func() {
			for range 10 {
				browse(t, b.Cookie).Do(base, "incr=n")
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 40, b.Do(one, "").Session["n"])
}

func TestReader(t *testing.T) {
	client := firestoretest.New(t).Client(t)
	b := browse(t, "")
	goes := serve(t, client, time.Hour)
	b.Do(goes, "login=alice")
	store, err := Firestore(client)
	require.NoError(t, err)
	r, err := NewReader(store, Config{MaxAge: time.Hour}, time.Time{})
	require.NoError(t, err)
	got, err := r.Read(t.Context(), b.Cookie)
	require.NoError(t, err)
	require.Equal(t, `"alice"`, string(got.Values["user"]))
	require.NoError(t, r.Retire(context.Background(), b.Cookie))
	snap, err := client.Collection(Collection).Doc(b.Cookie).Get(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, time.Until(snap.Data()["expire"].(time.Time)), migrate.Grace)
	kept := b.Cookie
	b.Do(goes, "logout=1")
	_, err = r.Read(t.Context(), kept)
	require.ErrorIs(t, err, migrate.ErrNone)
}

func TestCase35Refusals(t *testing.T) {
	store, err := Firestore(firestoretest.New(t).Client(t))
	require.NoError(t, err)
	for text, c := range map[string]struct {
		store  *Store
		maxAge time.Duration
		opts   []middleware.Option
	}{
		"the store is nil": {nil, 0, nil},
		"store is nil":     {new(Store), 0, nil},
		"whole seconds":    {store, -time.Second, nil},
		"in whole":         {store, time.Millisecond, nil},
		"WithSignedIDs":    {store, 0, []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		"WithCookieCache":  {store, 0, []middleware.Option{middleware.WithCookieCache(time.Minute)}},
		"WithOwners":       {store, 0, []middleware.Option{middleware.WithOwners(encrypt.GenerateKey())}},
	} {
		_, err := New(c.store, Config{MaxAge: c.maxAge}, c.opts...)
		require.ErrorIs(t, err, sessions.ErrConfig, text)
		require.ErrorContains(t, err, text)
	}
	_, err = Firestore(nil)
	require.Error(t, err)
}

func Example() {
	connect := func(client *firestore.Client) (*middleware.Middleware, error) {
		store, err := Firestore(client)
		if err != nil {
			return nil, err
		}
		return New(store, Config{MaxAge: 14 * 24 * time.Hour}) // FirestoreStorage(client, max_age=…)
	}
	_, err := connect(nil)
	fmt.Println(err)
	// Output: firestoresessions: firestorestore: the client is nil; make one with firestore.NewClient
}
