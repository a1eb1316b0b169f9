package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"os"
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

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzRequestCookie")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
