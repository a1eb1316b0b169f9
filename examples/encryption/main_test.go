package main

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
)

// user is a browser that keeps its cookies while the program is deployed again
// with other keys.
type user struct {
	t   *testing.T
	jar http.CookieJar
}

func newUser(t *testing.T) user {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return user{t, jar}
}

// deploy starts the program with these keys.
func deploy(t *testing.T, aesgcm, cbc string) *httptest.Server {
	ring, err := ringOf(aesgcm, cbc)
	require.NoError(t, err)
	handler, err := newHandler(ring)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server
}

func (u user) keeps(server *httptest.Server, note string) {
	client := &http.Client{Transport: server.Client().Transport, Jar: u.jar}
	resp, err := client.PostForm(server.URL+"/note", url.Values{"note": {note}})
	require.NoError(u.t, err)
	require.NoError(u.t, resp.Body.Close())
	require.Equal(u.t, http.StatusOK, resp.StatusCode)
}

// visits returns the page, and whether a cookie came with it.
func (u user) visits(server *httptest.Server) (string, bool) {
	client := &http.Client{Transport: server.Client().Transport, Jar: u.jar}
	resp, err := client.Get(server.URL + "/")
	require.NoError(u.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(u.t, err)
	require.Equal(u.t, http.StatusOK, resp.StatusCode)
	return string(body), len(resp.Cookies()) > 0
}

func newKeyText() string { return encrypt.GenerateKey().ExportSecret() }

func TestRotation(t *testing.T) {
	first, second := newKeyText(), newKeyText()
	regular, rare := newUser(t), newUser(t)
	server := deploy(t, first, "")
	regular.keeps(server, "milk")
	rare.keeps(server, "bread")
	_, cookie := regular.visits(server)
	require.False(t, cookie, "reading writes nothing")

	server = deploy(t, second+","+first, "") // the retired key still opens
	page, cookie := regular.visits(server)
	require.Contains(t, page, "milk")
	require.True(t, cookie, "sealed afresh under the new key")
	_, cookie = regular.visits(server)
	require.False(t, cookie, "once")

	server = deploy(t, second, "") // and now it is gone
	page, _ = regular.visits(server)
	require.Contains(t, page, "milk")
	page, _ = rare.visits(server)
	require.Contains(t, page, "You have no note.", "who did not come by in time begins anew")
}

func TestFromAESCBCToAESGCM(t *testing.T) {
	old, fresh := encrypt.GenerateKey(), newKeyText()
	ring, err := encrypt.NewAESCBCHMAC(old) // as the program was before
	require.NoError(t, err)
	handler, err := newHandler(ring)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	u := newUser(t)
	u.keeps(server, "milk")

	server = deploy(t, fresh, old.ExportSecret())
	page, cookie := u.visits(server)
	require.Contains(t, page, "milk")
	require.True(t, cookie, "sealed afresh with AES-GCM")
	server = deploy(t, fresh, "")
	page, _ = u.visits(server)
	require.Contains(t, page, "milk")
}

func TestCookieIsSealed(t *testing.T) {
	server := deploy(t, newKeyText(), "")
	u := newUser(t)
	u.keeps(server, "buy milk and bread")
	site, err := url.Parse(server.URL)
	require.NoError(t, err)
	value := u.jar.Cookies(site)[0].Value
	_, payload, found := strings.Cut(value, ".")
	require.True(t, found)
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	require.NoError(t, err)
	require.Greater(t, len(raw), len("buy milk and bread"))
	require.NotContains(t, string(raw), "milk")
	require.NotContains(t, string(raw), "note")
}

func TestKeysThatAreNoKeys(t *testing.T) {
	good := newKeyText()
	for name, keys := range map[string][2]string{
		"none":            {"", ""},
		"a passphrase":    {"correct horse battery staple 123", ""},
		"a second one":    {good + ",short", ""},
		"an empty one":    {good + ",", ""},
		"twice the same":  {good + "," + good, ""},
		"one for AES-CBC": {good, "short"},
	} {
		t.Run(name, func(t *testing.T) {
			ring, err := ringOf(keys[0], keys[1])
			require.ErrorContains(t, err, "BULLA_")
			require.Nil(t, ring)
			require.NotContains(t, err.Error(), good)
		})
	}
}
