package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
)

// site is one address, behind which the application is replaced. There is no network, so
// that the time is the test's.
type site struct{ http.Handler }

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.WithContext(r.Context())
	r.TLS = new(tls.ConnectionState) // the URL says https
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

const base = "https://app.example"

var address, _ = url.Parse(base + "/")

func (s *site) browser(t testing.TB, cookies ...*http.Cookie) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(address, cookies)
	return &http.Client{Transport: s, Jar: jar}
}

func get(t testing.TB, b *http.Client) string {
	t.Helper()
	resp, err := b.Get(base)
	return read(t, resp, err)
}

func post(t testing.TB, b *http.Client, path string, form url.Values) string {
	t.Helper()
	resp, err := b.PostForm(base+path, form)
	return read(t, resp, err)
}

func read(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

func names(b *http.Client) (names []string) {
	for _, c := range b.Jar.Cookies(address) {
		names = append(names, c.Name)
	}
	return names
}

func TestMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oldKey := securecookie.GenerateRandomKey(32)
		s := &site{before(oldKey)}
		ada, late := s.browser(t), s.browser(t)
		require.Contains(t, post(t, ada, "/login", url.Values{"user": {"ada"}}), "ada has []")
		require.Contains(t, post(t, ada, "/buy", nil), "ada has [{tea 1}]")
		post(t, late, "/login", url.Values{"user": {"bob"}})
		kept := ada.Jar.Cookies(address)
		require.Equal(t, []string{sessionName}, names(ada))

		theSwitch := time.Now()
		moved, err := after(oldKey, encrypt.GenerateKey(), theSwitch)
		require.NoError(t, err)
		s.Handler = moved
		time.Sleep(time.Hour)
		require.Contains(t, get(t, ada), "ada has [{tea 1}]", "moved, with what the session held")
		require.Equal(t, []string{"__Host-Http-session"}, names(ada))
		require.Contains(t, post(t, ada, "/buy", nil), "ada has [{tea 1} {tea 1}]")
		require.Contains(t, post(t, ada, "/logout", nil), "Log in")
		require.Empty(t, names(ada))

		// Who kept the old cookie is ada again, until the week is over. It is what a
		// session in a cookie can't be kept from.
		require.Contains(t, get(t, s.browser(t, kept...)), "ada has [{tea 1}]")

		// Somebody has got the old key. It makes no sessions any more.
		codec := securecookie.New(oldKey, nil)
		forged, err := codec.Encode(sessionName, map[any]any{"user": "ada"})
		require.NoError(t, err)
		require.Contains(t, get(t, s.browser(t, &http.Cookie{Name: sessionName, Value: forged})), "Log in")

		time.Sleep(time.Until(theSwitch.Add(7 * 24 * time.Hour)))
		replay := s.browser(t, kept...)
		require.Contains(t, get(t, replay), "Log in")
		require.Empty(t, names(replay))
		require.Contains(t, get(t, late), "Log in", "who did not come in a week")
	})
}
