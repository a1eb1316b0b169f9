package main

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	edge    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
	safari  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)

// browser is a client with a cookie jar and the server that it talks to.
type browser struct {
	http.Client
	t         *testing.T
	url       string
	userAgent string
}

func newProgram(t *testing.T) http.Handler {
	store, err := memstore.New()
	require.NoError(t, err)
	handler, err := newHandler(store, encrypt.GenerateKey(), encrypt.GenerateKey())
	require.NoError(t, err)
	return handler
}

// newSite starts the program and returns what opens browsers on it.
func newSite(t *testing.T) func(userAgent string) *browser {
	server := httptest.NewTLSServer(newProgram(t))
	t.Cleanup(server.Close)
	return func(userAgent string) *browser {
		return newBrowser(t, server.Client().Transport, server.URL, userAgent)
	}
}

func newBrowser(t *testing.T, transport http.RoundTripper, url, userAgent string) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{http.Client{Transport: transport, Jar: jar}, t, url, userAgent}
}

func (b *browser) send(method, path string, form url.Values) (int, string) {
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("User-Agent", b.userAgent)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.Do(r)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp.StatusCode, string(body)
}

func (b *browser) login(name string) {
	status, body := b.send("POST", "/login", url.Values{"user": {name}})
	require.Equal(b.t, http.StatusOK, status)
	require.Contains(b.t, body, "Welcome, "+name+".")
}

func (b *browser) home() string {
	_, body := b.send("GET", "/", nil)
	return body
}

var item = regexp.MustCompile(`(?s)<li>([^,]*), since.*?(\(this one\)|value="([^"]*)").*?</li>`)

// list returns the devices as the page shows them, the latest login first, and
// the handles of those that can be ended.
func (b *browser) list() (devices []string, handles map[string]string) {
	handles = make(map[string]string)
	for _, m := range item.FindAllStringSubmatch(b.home(), -1) {
		name := m[1]
		if m[3] == "" {
			name += " (this one)"
		} else {
			handles[name] = html.UnescapeString(m[3])
		}
		devices = append(devices, name)
	}
	return devices, handles
}

func TestSignOutThere(t *testing.T) {
	open := newSite(t)
	desk, phone := open(firefox), open(safari)
	desk.login("ada")
	phone.login("ada")

	devices, handles := desk.list()
	require.ElementsMatch(t, []string{"Safari on iPhone", "Firefox on Linux (this one)"}, devices)
	seen, _ := phone.list()
	require.ElementsMatch(t, []string{"Safari on iPhone (this one)", "Firefox on Linux"}, seen)

	status, _ := desk.send("POST", "/end", url.Values{"handle": {handles["Safari on iPhone"]}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, phone.home(), `action="/login"`, "it is out on its next request")
	devices, _ = desk.list()
	require.Equal(t, []string{"Firefox on Linux (this one)"}, devices)
}

func TestSignOutOfAnother(t *testing.T) {
	open := newSite(t)
	ada, adaToo, eve, nobody := open(firefox), open(chrome), open(chrome), open(chrome)
	ada.login("ada")
	adaToo.login("ada")
	eve.login("eve")
	_, handles := ada.list()
	handle := url.Values{"handle": {handles["Chrome on Windows"]}}
	require.NotEmpty(t, handle.Get("handle"))
	for _, b := range []*browser{eve, nobody} {
		status, _ := b.send("POST", "/end", handle)
		require.Equal(t, http.StatusNotFound, status)
	}
	status, _ := nobody.send("POST", "/end-others", nil)
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, adaToo.home(), "ada is signed in on")
}

func TestSignOutEverywhereElse(t *testing.T) {
	open := newSite(t)
	desk, phone, tablet, eve := open(firefox), open(safari), open(chrome), open(chrome)
	for _, b := range []*browser{desk, phone, tablet} {
		b.login("ada")
	}
	eve.login("eve")
	status, _ := phone.send("POST", "/end-others", nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, desk.home(), `action="/login"`)
	require.Contains(t, tablet.home(), `action="/login"`)
	devices, _ := phone.list()
	require.Equal(t, []string{"Safari on iPhone (this one)"}, devices)
	require.Contains(t, eve.home(), "eve is signed in on")

	desk.login("ada") // nobody is locked out
	devices, _ = phone.list()
	require.ElementsMatch(t, []string{"Firefox on Linux", "Safari on iPhone (this one)"}, devices)
}

// inProcess hands requests to a handler without a network, so that the time of
// the test is the bubble's.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	r = r.WithContext(r.Context())
	r.TLS = new(tls.ConnectionState) // the URL says https
	p.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := inProcess{newProgram(t)}
		var all []*browser
		for range most + 1 {
			b := newBrowser(t, site, "https://app.example", edge)
			b.login("ada")
			all = append(all, b)
			time.Sleep(time.Minute)
		}
		require.Contains(t, all[0].home(), `action="/login"`, "the oldest made room")
		for _, b := range all[1:] {
			devices, _ := b.list()
			require.Len(t, devices, most)
		}
		devices, _ := all[most].list()
		require.Equal(t, "Edge on Windows (this one)", devices[0], "the latest login first")
	})
}

func TestLogout(t *testing.T) {
	open := newSite(t)
	desk, phone := open(firefox), open(safari)
	desk.login("ada")
	phone.login("ada")
	phone.send("POST", "/logout", nil)
	devices, _ := desk.list()
	require.Equal(t, []string{"Firefox on Linux (this one)"}, devices)
}

func TestDevice(t *testing.T) {
	for userAgent, want := range map[string]string{
		firefox:     "Firefox on Linux",
		chrome:      "Chrome on Windows",
		edge:        "Edge on Windows",
		safari:      "Safari on iPhone",
		"curl/8.14": "Something on an unknown system",
		"":          "Something on an unknown system",
	} {
		require.Equal(t, want, device(userAgent))
	}
}
