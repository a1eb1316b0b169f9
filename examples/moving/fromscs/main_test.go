package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
)

// site is one address, behind which the application is replaced.
type site struct {
	*httptest.Server
	client  *redis.Client
	handler atomic.Value
}

func newSite(t *testing.T) *site {
	s := &site{client: redistest.Single(t).Client()}
	s.serve(before(s.client))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handler.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(h http.Handler) { s.handler.Store(http.HandlerFunc(h.ServeHTTP)) }

// move replaces the application by the one with Bulla.
func (s *site) move(t *testing.T, old redis.UniversalClient, key encrypt.Key, until time.Time) {
	h, err := after(s.client, old, key, until)
	require.NoError(t, err)
	s.serve(h)
}

func (s *site) url() *url.URL {
	u, _ := url.Parse(s.URL)
	return u
}

// browser returns one with these cookies.
func (s *site) browser(t testing.TB, cookies ...*http.Cookie) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(s.url(), cookies)
	return &http.Client{Transport: s.Client().Transport, Jar: jar}
}

func read(t testing.TB, resp *http.Response, err error) string {
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

func (s *site) get(t testing.TB, b *http.Client) string {
	resp, err := b.Get(s.URL)
	return read(t, resp, err)
}

func (s *site) post(t testing.TB, b *http.Client, path string, form url.Values) string {
	resp, err := b.PostForm(s.URL+path, form)
	return read(t, resp, err)
}

func (s *site) cookies(b *http.Client) (names []string) {
	for _, c := range b.Jar.Cookies(s.url()) {
		names = append(names, c.Name)
	}
	return names
}

func TestMoving(t *testing.T) {
	s := newSite(t)
	ada, visitor := s.browser(t), s.browser(t)
	require.Contains(t, s.post(t, ada, "/login", url.Values{"user": {"ada"}}), "ada, visit 1")
	require.Contains(t, s.get(t, ada), "ada, visit 2")
	require.Contains(t, s.get(t, visitor), "Log in")
	kept := ada.Jar.Cookies(s.url())
	require.Equal(t, []string{"session"}, s.cookies(ada))

	key := encrypt.GenerateKey()
	s.move(t, s.client, key, time.Now().Add(scsLifetime))
	require.Contains(t, s.get(t, ada), "ada, visit 3", "moved, with what the session held")
	require.Equal(t, []string{"__Host-Http-session"}, s.cookies(ada))
	require.Contains(t, s.get(t, ada), "ada, visit 4")
	require.Contains(t, s.get(t, visitor), "Log in")

	// The record is about to end, and so is what the old cookie is good for.
	left, err := s.client.PTTL(t.Context(), "scs:session:"+kept[0].Value).Result()
	require.NoError(t, err)
	require.Positive(t, left)
	require.LessOrEqual(t, left, time.Minute)

	require.Contains(t, s.post(t, ada, "/logout", nil), "Log in")
	require.Empty(t, s.cookies(ada))
	require.NoError(t, s.client.PExpire(t.Context(), "scs:session:"+kept[0].Value, time.Millisecond).Err())
	time.Sleep(10 * time.Millisecond)
	replay := s.browser(t, kept...)
	require.Contains(t, s.get(t, replay), "Log in")
	require.Empty(t, s.cookies(replay))

	// A login here is one, whatever came before.
	require.Contains(t, s.post(t, replay, "/login", url.Values{"user": {"bob"}}), "bob, visit 1")
	require.Equal(t, []string{"__Host-Http-session"}, s.cookies(replay))
}

// There and back again, the user stays logged in, and the session ends when it would
// have ended.
func TestBack(t *testing.T) {
	s := newSite(t)
	ada, stranger := s.browser(t), s.browser(t)
	require.Contains(t, s.post(t, ada, "/login", url.Values{"user": {"ada"}}), "ada, visit 1")
	ends := deadline(t, s)
	key := encrypt.GenerateKey()
	s.move(t, s.client, key, time.Now().Add(scsLifetime))
	require.Contains(t, s.get(t, ada), "ada, visit 2")
	kept := ada.Jar.Cookies(s.url())
	require.NoError(t, s.client.Del(t.Context(), scsKeys(t, s)...).Err()) // the minute is over

	h, err := back(s.client, key)
	require.NoError(t, err)
	s.serve(h)
	require.Contains(t, s.get(t, ada), "ada, visit 3")
	require.Equal(t, []string{"session"}, s.cookies(ada))
	require.Contains(t, s.get(t, ada), "ada, visit 4")
	require.WithinDuration(t, ends, deadline(t, s), time.Second)
	require.Contains(t, s.get(t, stranger), "Log in")
	require.Contains(t, s.get(t, s.browser(t, kept...)), "Log in", "Bulla's session is over")
	require.Contains(t, s.post(t, ada, "/logout", nil), "Log in")
	require.Empty(t, s.cookies(ada))
}

func scsKeys(t *testing.T, s *site) []string {
	keys, err := s.client.Keys(t.Context(), "scs:session:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	return keys
}

// deadline returns when scs's only session ends.
func deadline(t *testing.T, s *site) time.Time {
	data, err := s.client.Get(t.Context(), scsKeys(t, s)[0]).Bytes()
	require.NoError(t, err)
	at, _, err := scs.GobCodec{}.Decode(data)
	require.NoError(t, err)
	return at
}
