package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// store is one whose lists can be switched off.
type store struct {
	*memstore.Store
	down atomic.Bool
}

func (s *store) Place() stores.Place {
	p := s.Store.Place()
	p.Server = s
	return p
}

func (s *store) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	if s.down.Load() {
		return nil, fmt.Errorf("%w: switched off", stores.ErrUnavailable)
	}
	return s.Store.Entries(ctx, owner)
}

// setting is a site and its provider.
type setting struct {
	*testing.T
	*provider
	site  *httptest.Server
	store *store
}

func newSetting(t *testing.T) *setting {
	memory, err := memstore.New()
	require.NoError(t, err)
	s := &setting{t, newProvider(t), nil, &store{Store: memory}}
	var handler atomic.Value
	s.site = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().(http.Handler).ServeHTTP(w, r) }))
	t.Cleanup(s.site.Close)
	h, err := newHandler(t.Context(), s.store, s.provider.URL,
		oauth2.Config{ClientID: clientID, ClientSecret: "secret", RedirectURL: s.site.URL + "/callback"},
		middleware.WithOwners(encrypt.GenerateKey()))
	require.NoError(t, err)
	handler.Store(h)
	return s
}

// browser is a user's.
type browser struct {
	*http.Client
	s *setting
}

func (s *setting) browser() browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.T, err)
	return browser{&http.Client{
		Transport: s.site.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, s}
}

// ask asks the provider to log somebody in, and returns the way back.
func (b browser) ask(sub, sid string) string {
	b.s.Helper()
	resp, err := b.Post(b.s.site.URL+"/login", "", nil)
	require.NoError(b.s, err)
	resp.Body.Close()
	require.Equal(b.s, http.StatusSeeOther, resp.StatusCode)
	authorize, err := resp.Location()
	require.NoError(b.s, err)
	require.True(b.s, strings.HasPrefix(authorize.String(), b.s.provider.URL+"/authorize?"))
	return b.s.consent(authorize, sub, sid)
}

// follow follows the way back and returns the status.
func (b browser) follow(back string) int {
	b.s.Helper()
	resp, err := b.Get(back)
	require.NoError(b.s, err)
	resp.Body.Close()
	return resp.StatusCode
}

func (s *setting) login(sub, sid string) browser {
	s.Helper()
	b := s.browser()
	require.Equal(s.T, http.StatusSeeOther, b.follow(b.ask(sub, sid)))
	require.True(s.T, b.in())
	return b
}

// in tells whether somebody is logged in.
func (b browser) in() bool {
	b.s.Helper()
	resp, err := b.Get(b.s.site.URL + "/")
	require.NoError(b.s, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.s, err)
	require.Equal(b.s, http.StatusOK, resp.StatusCode)
	return strings.Contains(string(body), "somebody")
}

// send sends a logout token as the provider does, and returns the answer's status.
func (s *setting) send(token string) int {
	s.Helper()
	client := &http.Client{Transport: s.site.Client().Transport}
	resp, err := client.PostForm(s.site.URL+"/backchannel-logout", url.Values{"logout_token": {token}})
	require.NoError(s.T, err)
	defer resp.Body.Close()
	require.Equal(s.T, "no-store", resp.Header.Get("Cache-Control"))
	require.Empty(s.T, resp.Header["Set-Cookie"])
	return resp.StatusCode
}

func (s *setting) sendClaims(c claims) int {
	s.Helper()
	return s.send(s.sign(c, "logout+jwt"))
}

func TestBackChannelLogout(t *testing.T) {
	s := newSetting(t)
	first, same, second, bob := s.login("ada", "s1"), s.login("ada", "s1"), s.login("ada", "s2"), s.login("bob", "s3")

	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("", "s1")))
	require.False(t, first.in())
	require.False(t, same.in())
	require.True(t, second.in(), "another login of the user's")

	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("ada", "s2")), "sub and sid")
	require.False(t, second.in())

	// A user's logout: all logins, and no other user's.
	first, second = s.login("ada", "s4"), s.login("ada", "")
	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("ada", "")))
	require.False(t, first.in())
	require.False(t, second.in())
	require.True(t, bob.in())
	s.login("ada", "s5")

	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("", "unknown")), "nothing to end is no failure")
}

// The logout overtakes its login: the provider has sent the browser back, which is slow.
func TestLogoutBeforeTheLoginIsFinished(t *testing.T) {
	s := newSetting(t)
	b := s.browser()
	back := b.ask("ada", "s1")
	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("ada", "s1")))
	require.Equal(t, http.StatusConflict, b.follow(back))
	require.False(t, b.in())
	require.Equal(t, http.StatusSeeOther, b.follow(b.ask("ada", "s2")))
	require.True(t, b.in())
}

// Who is not the provider, or has another token of the provider's, ends nothing.
func TestHostileTokens(t *testing.T) {
	s := newSetting(t)
	b := s.login("ada", "s1")
	other := newProvider(t)
	with := func(change func(claims)) string {
		c := s.logout("ada", "s1")
		change(c)
		return s.sign(c, "logout+jwt")
	}
	good := s.sign(s.logout("ada", "s1"), "logout+jwt")
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	changed, err := json.Marshal(s.logout("ada", "s1"))
	require.NoError(t, err)
	public, err := json.Marshal(jose.JSONWebKey{Key: &s.key.PublicKey, KeyID: "k1"})
	require.NoError(t, err)
	hs256 := func(secret []byte) string {
		return sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: "k1"}}, s.logout("ada", "s1"), "logout+jwt")
	}
	id := claims{
		"iss": s.provider.URL, "aud": clientID, "sub": "ada", "sid": "s1", "nonce": "n", "jti": "j",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

	for what, token := range map[string]string{
		"nothing":                       "",
		"no token":                      "logout",
		"another key":                   other.sign(s.logout("ada", "s1"), "logout+jwt"),
		"no signature":                  head + "." + body + ".",
		"alg none":                      none + "." + body + ".",
		"alg none, signed":              none + "." + body + "." + signature,
		"other claims":                  head + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + signature,
		"HMAC with the public key":      hs256(public),
		"HMAC with the client's secret": hs256([]byte("secret secret secret secret secr")),
		"another issuer":                with(func(c claims) { c["iss"] = other.URL }),
		"no issuer":                     with(func(c claims) { delete(c, "iss") }),
		"another client":                with(func(c claims) { c["aud"] = "another" }),
		"other clients":                 with(func(c claims) { c["aud"] = []string{"another", "more"} }),
		"no audience":                   with(func(c claims) { delete(c, "aud") }),
		"a nonce":                       with(func(c claims) { c["nonce"] = "n" }),
		"a nonce of null":               with(func(c claims) { c["nonce"] = nil }),
		"no events":                     with(func(c claims) { delete(c, "events") }),
		"another event":                 with(func(c claims) { c["events"] = claims{"http://schemas.openid.net/event/other": claims{}} }),
		"an event of null":              with(func(c claims) { c["events"] = claims{event: nil} }),
		"an event of text":              with(func(c claims) { c["events"] = claims{event: "logout"} }),
		"an event of a list":            with(func(c claims) { c["events"] = claims{event: []int{}} }),
		"no jti":                        with(func(c claims) { delete(c, "jti") }),
		"neither sub nor sid":           with(func(c claims) { delete(c, "sub"); delete(c, "sid") }),
		"a sid of a number":             with(func(c claims) { c["sid"] = 1 }),
		"a sid that is too long":        with(func(c claims) { c["sid"] = strings.Repeat("s", 256) }),
		"expired":                       with(func(c claims) { c["exp"] = ago(time.Second) }),
		"no expiry":                     with(func(c claims) { delete(c, "exp") }),
		"old":                           with(func(c claims) { c["iat"] = ago(time.Hour) }),
		"of the future":                 with(func(c claims) { c["iat"] = ago(-time.Hour) }),
		"no time":                       with(func(c claims) { delete(c, "iat") }),
		"an ID token":                   s.sign(id, "JWT"),
		"too large":                     strings.Repeat("x", 100<<10),
	} {
		require.Equal(t, http.StatusBadRequest, s.send(token), what)
		require.True(t, b.in(), what)
	}

	// Not by a page, either: of another site's the browser says so itself.
	r, err := http.NewRequest(http.MethodPost, s.site.URL+"/backchannel-logout", strings.NewReader(url.Values{"logout_token": {good}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := b.Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	resp, err = b.Get(s.site.URL + "/backchannel-logout?logout_token=" + good)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.True(t, b.in())

	require.Equal(t, http.StatusOK, s.send(good), "and the good one is good")
	require.False(t, b.in())
	require.Equal(t, http.StatusOK, s.sendClaims(s.logout("", "s1")), "audience as text")
	c := s.logout("", "s1")
	c["aud"] = []string{"another", clientID}
	require.Equal(t, http.StatusOK, s.sendClaims(c), "and as a list")
}

// A token is good once: a user's, kept by somebody, must not end their next login.
func TestReplayedToken(t *testing.T) {
	s := newSetting(t)
	first := s.login("ada", "s1")
	token := s.sign(s.logout("ada", ""), "logout+jwt")
	require.Equal(t, http.StatusOK, s.send(token))
	require.False(t, first.in())
	second := s.login("ada", "s2")
	require.Equal(t, http.StatusBadRequest, s.send(token))
	require.True(t, second.in())

	// One that could not be carried out may come again.
	token = s.sign(s.logout("", "s2"), "logout+jwt")
	s.store.down.Store(true)
	require.Equal(t, http.StatusBadRequest, s.send(token))
	s.store.down.Store(false)
	require.Equal(t, http.StatusOK, s.send(token))
	require.False(t, second.in())
}

// The callback belongs to the login that was begun in this browser.
func TestForgedCallback(t *testing.T) {
	s := newSetting(t)
	b, thief := s.browser(), s.browser()
	back := thief.ask("eve", "s1")
	require.Equal(t, http.StatusForbidden, b.follow(back))
	b.ask("ada", "s2")
	require.Equal(t, http.StatusForbidden, b.follow(back))
	require.False(t, b.in())
}
