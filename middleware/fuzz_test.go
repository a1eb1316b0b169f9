package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
)

// FuzzRequestCookie: no Cookie header makes a panic or an error. Only what this
// handler sealed, which the fuzzer can't, is more than a first visit.
func FuzzRequestCookie(f *testing.F) {
	h := sealed(f).new(f, middleware.WithAutoload()).Handler(count)
	good := visited(f, h)
	for _, header := range []string{
		"", cookieName, cookieName + "=", cookieName + "=" + good, cookieName + "=" + good[:32],
		cookieName + "=" + good + "; " + cookieName + "=" + good[:60], "a=b; " + cookieName + "==; ;;", cookieName + `="` + good + `"`,
	} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		req := httptest.NewRequest("GET", "/", nil)
		req.Header["Cookie"] = []string{string(header)}
		a := record(h, req)
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Contains(t, []string{"1", "2"}, a.body)
		require.Len(t, a.ours(), 1)

		// What came does not go out again: an ID is never adopted.
		if a.body == "1" && len(header) >= len(cookieName)+33 {
			require.NotContains(t, string(header), a.value(t)[:32])
		}
	})
}

// FuzzWayBack: where it leads is this site, as a server and as a browser read it.
func FuzzWayBack(f *testing.F) {
	for _, path := range []string{"", "/", "/a?b#c", "//evil.example", `/\evil.example`, "/\t/evil.example", "\x00//evil.example", "/a/..//evil.example"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := middleware.WayBack(nil, path)
		if got == "/" {
			return
		}
		require.Equal(t, path, got)

		site, err := url.Parse("https://app.example/login")
		require.NoError(t, err)
		u, err := site.Parse(got)
		require.NoError(t, err)
		require.Equal(t, "https://app.example", u.Scheme+"://"+u.Host)

		// The URL standard: a browser strips control characters and spaces at the
		// ends, drops tabs and line ends anywhere, and takes a backslash for a slash.
		seen := strings.TrimFunc(got, func(c rune) bool { return c <= ' ' })
		seen = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(seen)
		require.True(t, strings.HasPrefix(seen, "/") && !strings.HasPrefix(seen, "//"), "%q", got)

		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest("POST", "/login", nil), got, http.StatusSeeOther)
		location := w.Header().Get("Location")
		require.True(t, strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//") && !strings.HasPrefix(location, `/\`), "%q", location)
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, target := range []string{"FuzzRequestCookie", "FuzzWayBack"} {
		files, err := os.ReadDir("testdata/fuzz/" + target)
		require.NoError(t, err)
		require.NotEmpty(t, files)
	}
}
