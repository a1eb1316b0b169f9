package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
)

// hosting strips requests of cookies, as Firebase Hosting does.
func hosting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookies := r.CookiesNamed("__session")
		r.Header.Del("Cookie")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		next.ServeHTTP(w, r)
	})
}

// browser is a client with a cookie jar and the server that it talks to.
type browser struct {
	*http.Client
	t   *testing.T
	url *url.URL
}

func newBrowser(t *testing.T, db *firestoretest.Server) browser {
	handler, err := newHandler(db.Client(t), encrypt.GenerateKey())
	require.NoError(t, err)
	server := httptest.NewTLSServer(hosting(handler))
	t.Cleanup(server.Close)
	client := server.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	site, err := url.Parse(server.URL)
	require.NoError(t, err)
	client.Jar.SetCookies(site, []*http.Cookie{{Name: "theme", Value: "dark"}})
	return browser{client, t, site}
}

func (b browser) get() (*http.Response, string) {
	resp, err := b.Get(b.url.String() + "/")
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp, string(body)
}

func (b browser) post(path, note string) *http.Response {
	resp, err := b.PostForm(b.url.String()+path, url.Values{"note": {note}})
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	return resp
}

func (b browser) session() string {
	for _, c := range b.Jar.Cookies(b.url) {
		if c.Name == "__session" {
			return c.Value
		}
	}
	return ""
}

func TestBehindHosting(t *testing.T) {
	db := firestoretest.New(t)
	b := newBrowser(t, db)
	costs := func(what string, want firestoretest.Counts) {
		t.Helper()
		got := db.Counts()
		got.Calls = 0 // not billed
		require.Equal(t, want, got, what)
		db.ResetCounts()
	}

	_, body := b.get()
	require.Contains(t, body, "You have no note.")
	costs("no cookie", firestoretest.Counts{})
	require.Empty(t, db.Documents())

	resp := b.post("/note", "buy milk")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	costs("a new session", firestoretest.Counts{Writes: 1})
	require.True(t, strings.HasPrefix(resp.Header.Get("Set-Cookie"), "__session="))
	require.Contains(t, resp.Header.Get("Cache-Control"), "no-store", "Hosting's caches keep no cookie")

	resp, body = b.get()
	require.Contains(t, body, "buy milk")
	costs("a request that reads", firestoretest.Counts{Reads: 1})
	require.Contains(t, resp.Header.Get("Cache-Control"), "private", "nor a user's page")

	b.post("/note", "buy bread")
	costs("a request that writes", firestoretest.Counts{Reads: 1, Writes: 1})
	b.post("/forget", "")
	costs("a request that ends it", firestoretest.Counts{Reads: 1, Writes: 1})
	require.Empty(t, b.session())
	for _, doc := range db.Documents() {
		require.WithinDuration(t, time.Now().Add(10*time.Minute), expire(doc), time.Minute, "what says that it has ended goes soon")
	}
}

// expire is the field that Firestore's TTL policy goes by.
func expire(doc *firestorepb.Document) time.Time {
	return doc.Fields["expire"].GetTimestampValue().AsTime()
}

func TestNothingToReadInTheDatabase(t *testing.T) {
	db := firestoretest.New(t)
	b := newBrowser(t, db)
	b.post("/note", "a present for Charles")
	id, err := base64.RawURLEncoding.DecodeString(b.session())
	require.NoError(t, err)

	docs := db.Documents()
	require.Len(t, docs, 1)
	for name, doc := range docs {
		_, key, _ := strings.Cut(name, "/sessions/s")
		_, err := stores.ParseKey(key)
		require.NoError(t, err, "it is filed under a hash of the ID: %s", name)
		require.NotContains(t, name, b.session())
		raw := fmt.Sprint(doc)
		for _, field := range doc.Fields {
			raw += string(field.GetBytesValue())
		}
		require.NotContains(t, raw, "Charles")
		require.NotContains(t, raw, b.session())
		require.NotContains(t, raw, string(id))
		require.WithinDuration(t, time.Now().Add(14*24*time.Hour), expire(doc), time.Minute)
	}
}

func TestOutage(t *testing.T) {
	db := firestoretest.New(t)
	b := newBrowser(t, db)
	b.post("/note", "buy milk")
	db.Inject(firestoretest.Fail(firestoretest.Read, 1, codes.PermissionDenied))
	resp, _ := b.get()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Empty(t, resp.Cookies(), "an outage is no logout")
	_, body := b.get()
	require.Contains(t, body, "buy milk")
}
