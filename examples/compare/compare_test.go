package compare

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	cartbulla "github.com/bulla-go/bulla/examples/compare/cart/bulla"
	cartgorilla "github.com/bulla-go/bulla/examples/compare/cart/gorilla"
	cartscs "github.com/bulla-go/bulla/examples/compare/cart/scs"
	devicesbulla "github.com/bulla-go/bulla/examples/compare/devices/bulla"
	devicesgorilla "github.com/bulla-go/bulla/examples/compare/devices/gorilla"
	devicesscs "github.com/bulla-go/bulla/examples/compare/devices/scs"
	loginbulla "github.com/bulla-go/bulla/examples/compare/login/bulla"
	logingorilla "github.com/bulla-go/bulla/examples/compare/login/gorilla"
	loginscs "github.com/bulla-go/bulla/examples/compare/login/scs"
)

// client is a browser at one of the applications.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
	name string // User-Agent
}

// each runs a test on every version of an application.
func each(t *testing.T, versions map[string]func() http.Handler, test func(t *testing.T, browser func(name string) client)) {
	require.Len(t, versions, 3)
	for name, handler := range versions {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(handler())
			defer server.Close()
			test(t, func(name string) client {
				jar, err := cookiejar.New(nil)
				require.NoError(t, err)
				c := *server.Client()
				c.Jar = jar
				return client{t, &c, server.URL, name}
			})
		})
	}
}

func (c client) do(r *http.Request) *http.Response {
	c.t.Helper()
	r.Header.Set("User-Agent", c.name)
	resp, err := c.http.Do(r)
	require.NoError(c.t, err)
	return resp
}

// page returns what the page says, by its labels.
func (c client) page() map[string][]string {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.url, nil)
	require.NoError(c.t, err)
	return c.read(c.do(r))
}

func (c client) read(resp *http.Response) map[string][]string {
	c.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, resp.StatusCode)
	says := map[string][]string{}
	for _, m := range regexp.MustCompile(`<p>(\w+): (.*?)</p>`).FindAllStringSubmatch(string(body), -1) {
		says[m[1]] = append(says[m[1]], m[2])
	}
	return says
}

// post sends a form, and returns the page that it leads to.
func (c client) post(path, field, value string) map[string][]string {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodPost, c.url+path, strings.NewReader(url.Values{field: {value}}.Encode()))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.read(c.do(r))
}

// cookies are the ones that the browser has for the site.
func (c client) cookies() string {
	u, err := url.Parse(c.url)
	require.NoError(c.t, err)
	return fmt.Sprint(c.http.Jar.Cookies(u))
}

type says = map[string][]string

func TestLogin(t *testing.T) {
	each(t, map[string]func() http.Handler{"bulla": loginbulla.New, "scs": loginscs.New, "gorilla": logingorilla.New}, func(t *testing.T, browser func(string) client) {
		b := browser("Ada's")
		require.Equal(t, says{"User": {"nobody"}, "Theme": {"light"}}, b.page())
		require.Equal(t, says{"User": {"nobody"}, "Theme": {"dark"}, "Notice": {"Saved."}}, b.post("/settings", "theme", "dark"))
		require.Equal(t, says{"User": {"nobody"}, "Theme": {"dark"}}, b.page(), "a notice is shown once")
		before := b.cookies()
		require.Equal(t, says{"User": {"Ada"}, "Theme": {"dark"}, "Notice": {"Welcome, Ada."}}, b.post("/login", "user", "Ada"))
		require.NotEqual(t, before, b.cookies())
		require.Equal(t, says{"User": {"Ada"}, "Theme": {"dark"}}, b.page())
		require.Equal(t, says{"User": {"nobody"}, "Theme": {"light"}}, browser("another").page())
		thief := browser("another")
		u, err := url.Parse(b.url)
		require.NoError(t, err)
		thief.http.Jar.SetCookies(u, b.http.Jar.Cookies(u))
		require.Equal(t, says{"User": {"nobody"}, "Theme": {"light"}}, b.post("/logout", "", ""))
		require.Equal(t, "[]", b.cookies())
		who := "nobody"
		if strings.HasSuffix(t.Name(), "gorilla") { // only the cookie knows, and this is another
			who = "Ada"
		}
		require.Equal(t, []string{who}, thief.page()["User"], "who kept the cookie")
	})
}

func TestCart(t *testing.T) {
	each(t, map[string]func() http.Handler{"bulla": cartbulla.New, "scs": cartscs.New, "gorilla": cartgorilla.New}, func(t *testing.T, browser func(string) client) {
		b := browser("Ada's")
		require.Empty(t, b.page())
		require.Equal(t, says{"Item": {"1 tea"}}, b.post("/add", "item", "tea"))
		require.Equal(t, says{"Item": {"1 jam", "1 tea"}}, b.post("/add", "item", "jam"))
		require.Equal(t, says{"Item": {"1 jam", "2 tea"}}, b.post("/add", "item", "tea"))
		require.Equal(t, says{"Item": {"2 tea"}}, b.post("/remove", "item", "jam"))
		require.Equal(t, says{"Item": {"2 tea"}}, b.post("/remove", "item", "jam"))
		require.Empty(t, browser("another").page())

		// As many clicks at once. Who loses some of them can see it here.
		var clicks sync.WaitGroup
		for range 20 {
			clicks.Go(func() { b.post("/add", "item", "milk") })
		}
		clicks.Wait()
		items := b.page()["Item"]
		if strings.HasSuffix(t.Name(), "bulla") {
			require.Equal(t, []string{"20 milk", "2 tea"}, items)
		}
		t.Log("after 20 clicks at once:", items)
		require.Empty(t, b.post("/checkout", "", ""))
	})
}

func TestDevices(t *testing.T) {
	each(t, map[string]func() http.Handler{"bulla": devicesbulla.New, "scs": devicesscs.New, "gorilla": devicesgorilla.New}, func(t *testing.T, browser func(string) client) {
		// list returns the devices' names, the own one marked, and their handles.
		list := func(p says) (names []string, handles map[string]string) {
			handles = map[string]string{}
			for _, d := range p["Device"] {
				handle, name, _ := strings.Cut(d, " ")
				names = append(names, name)
				handles[strings.TrimSuffix(name, " (this one)")] = handle
			}
			return names, handles
		}
		requireList := func(c client, want ...string) map[string]string {
			t.Helper()
			names, handles := list(c.page())
			require.Equal(t, want, names)
			return handles
		}
		phone, laptop, eve := browser("phone"), browser("laptop"), browser("eve's")
		require.Equal(t, says{"User": {"nobody"}}, phone.page())
		phone.post("/login", "user", "Ada")
		laptop.post("/login", "user", "Ada")
		eve.post("/login", "user", "Eve")
		handles := requireList(laptop, "laptop (this one)", "phone")
		for _, handle := range handles {
			require.NotContains(t, phone.cookies()+laptop.cookies(), handle, "a handle on a page is no session")
		}
		requireList(eve, "eve&#39;s (this one)")

		// Nobody ends another's, which may be answered with an error.
		r, err := http.NewRequest(http.MethodPost, eve.url+"/end", strings.NewReader(url.Values{"handle": {handles["phone"]}}.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		eve.do(r).Body.Close()
		requireList(laptop, "laptop (this one)", "phone")

		require.Equal(t, "laptop (this one)", strings.SplitN(laptop.post("/end", "handle", handles["phone"])["Device"][0], " ", 2)[1])
		require.Equal(t, says{"User": {"nobody"}}, phone.page())

		// A fourth login ends the oldest.
		phone.post("/login", "user", "Ada")
		tablet, tv := browser("tablet"), browser("tv")
		tablet.post("/login", "user", "Ada")
		tv.post("/login", "user", "Ada")
		requireList(tv, "tv (this one)", "tablet", "phone")
		require.Equal(t, says{"User": {"nobody"}}, laptop.page())

		tablet.post("/end-others", "", "")
		requireList(tablet, "tablet (this one)")
		require.Equal(t, says{"User": {"nobody"}}, tv.page())
		require.Equal(t, says{"User": {"nobody"}}, tablet.post("/logout", "", ""))
		tv.post("/login", "user", "Ada")
		requireList(tv, "tv (this one)")
		require.True(t, slices.Equal(eve.page()["User"], []string{"Eve"}))
	})
}
