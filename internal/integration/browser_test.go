//go:build unix

package integration_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const (
	visits = sessions.Key[int]("visits")
	user   = sessions.Key[string]("user")
	text   = sessions.Key[string]("text")
)

const cookieName = "__Host-Http-session"

// idSize is the length of an ID at the begin of a cookie's value.
const idSize = 32

// handle is what a request does with its session.
type handle func(*sessions.Session) error

func count(s *sessions.Session) error {
	_, err := visits.Update(s, func(n int) int { return n + 1 })
	return err
}

func look(s *sessions.Session) error {
	_, err := visits.GetOr(s, 0)
	return err
}

func logout(s *sessions.Session) error {
	s.Destroy()
	return nil
}

func setUser(name string) handle {
	return func(s *sessions.Session) error { return user.Set(s, name) }
}

// browser keeps the newest cookie that it was sent, and nothing else. It is for
// one goroutine.
type browser struct{ cookie string }

// answer is what came back.
type answer struct {
	status int
	lines  []string // that set or remove our cookie
	err    error    // of the handler, which answers 500 then
	header http.Header
}

// send sends a request with the session loaded before do runs; what fails to
// load is answered by the error handler.
func (b *browser) send(mw *middleware.Middleware, do handle) answer {
	return b.serve(mw, func(r *http.Request) error {
		s, err := sessions.Load(r.Context())
		if err != nil {
			return err
		}
		return do(s)
	})
}

// serve sends a request of which do makes what it will.
func (b *browser) serve(mw *middleware.Middleware, do func(*http.Request) error) answer {
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	if b.cookie != "" {
		r.Header.Set("Cookie", cookieName+"="+b.cookie)
	}
	var a answer
	w := httptest.NewRecorder()
	mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.err = do(r); a.err != nil {
			http.Error(w, "the handler failed", http.StatusInternalServerError)
		}
	})).ServeHTTP(w, r)
	a.status, a.header = w.Code, w.Result().Header
	for _, line := range a.header["Set-Cookie"] {
		if value, ok := strings.CutPrefix(line, cookieName+"="); ok {
			a.lines = append(a.lines, line)
			b.cookie, _, _ = strings.Cut(value, ";")
		}
	}
	return a
}

// must is send where all must go well.
func (b *browser) must(t testing.TB, mw *middleware.Middleware, do handle) answer {
	t.Helper()
	a := b.send(mw, do)
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status)
	require.LessOrEqual(t, len(a.lines), 1)
	return a
}

// visits returns the counter as the session has it.
func (b *browser) visits(t testing.TB, mw *middleware.Middleware) (n int) {
	t.Helper()
	b.must(t, mw, func(s *sessions.Session) (err error) {
		n, err = visits.GetOr(s, 0)
		return err
	})
	return n
}

// user returns who is logged in, or "".
func (b *browser) user(t testing.TB, mw *middleware.Middleware) (name string) {
	t.Helper()
	b.must(t, mw, func(s *sessions.Session) (err error) {
		name, err = user.GetOr(s, "")
		return err
	})
	return name
}

// visited is a browser with a session of one visit.
func visited(t testing.TB, mw *middleware.Middleware) *browser {
	t.Helper()
	b := new(browser)
	b.must(t, mw, count)
	require.NotEmpty(t, b.cookie)
	return b
}

// id is another browser with the session's ID alone, without a copy.
func (b *browser) id() *browser { return &browser{b.cookie[:idSize]} }

// secret is the session's ID as 24 bytes.
func (b *browser) secret() []byte {
	id, err := base64.RawURLEncoding.DecodeString(b.cookie[:idSize])
	if err != nil {
		panic(err)
	}
	return id
}

// key is what a server files the session under, as docs/format.md says.
func (b *browser) key() stores.Key {
	sum := sha256.Sum256(append([]byte("bulla store key 1\x00"), b.secret()...))
	return stores.NewKey([24]byte(sum[:]))
}

// payload is what the cookie carries beside the ID.
func (b *browser) payload(t testing.TB) []byte {
	t.Helper()
	data, err := payload.Decode(b.cookie[idSize+1:])
	require.NoError(t, err)
	return data
}

// clone is another browser with the same cookie: another tab, or a thief.
func (b *browser) clone() *browser { return &browser{b.cookie} }

func isEnded(err error) bool { return errors.Is(err, sessions.ErrEnded) }
