//go:build unix

package drivers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const visits = sessions.Key[int]("visits")

// idSize is the length of an ID at the begin of a cookie's value.
const idSize = 32

func count(s *sessions.Session) error {
	_, err := visits.Update(s, func(n int) int { return n + 1 })
	return err
}

// middlewareOf gives a commit time enough for a busy machine, and for a server that
// starts again.
func middlewareOf(t testing.TB, store stores.Store, key encrypt.Key, opts ...middleware.Option) *middleware.Middleware {
	t.Helper()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	mw, err := middleware.New(store, append([]middleware.Option{
		middleware.WithEncryptor(enc), middleware.WithAutoload(), middleware.WithCommitTimeout(time.Minute),
	}, opts...)...)
	require.NoError(t, err)
	return mw
}

// browser keeps the newest cookie that it was sent, and nothing else. It is for one
// goroutine.
type browser struct{ cookie string }

// send sends a request. loaded tells whether do ran: it does not where the session
// can't be loaded.
func (b *browser) send(mw *middleware.Middleware, do func(*sessions.Session) error) (status int, loaded bool) {
	const name = "__Host-Http-session="
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	if b.cookie != "" {
		r.Header.Set("Cookie", name+b.cookie)
	}
	w := httptest.NewRecorder()
	mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		loaded = true
		return do(s)
	}).ServeHTTP(w, r)
	for _, line := range w.Result().Header["Set-Cookie"] {
		if value, ok := strings.CutPrefix(line, name); ok {
			b.cookie, _, _ = strings.Cut(value, ";")
		}
	}
	return w.Code, loaded
}

func (b *browser) must(t testing.TB, mw *middleware.Middleware, do func(*sessions.Session) error) {
	t.Helper()
	status, _ := b.send(mw, do)
	require.Equal(t, http.StatusOK, status)
}

func (b *browser) visits(t testing.TB, mw *middleware.Middleware) (n int) {
	t.Helper()
	b.must(t, mw, func(s *sessions.Session) (err error) {
		n, err = visits.GetOr(s, 0)
		return err
	})
	return n
}
