//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores/memstore"
)

// browser keeps the cookie that it was sent, which Go's own jar would not send over
// plain HTTP, as browsers do on localhost.
type browser struct {
	http.Client
	t      testing.TB
	cookie *http.Cookie
}

func newBrowser(t testing.TB) *browser {
	return &browser{t: t, Client: http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) send(method, target, body string) (status int, page string) {
	b.t.Helper()
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	require.NoError(b.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	res, err := b.Do(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	for _, c := range res.Cookies() {
		if b.cookie = (&http.Cookie{Name: c.Name, Value: c.Value}); c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return res.StatusCode, string(text)
}

// post sends a form, and returns the status.
func (b *browser) post(site, path string) int {
	b.t.Helper()
	status, _ := b.send("POST", site+path, "user=ada")
	return status
}

// in tells whether the user is logged in at a site.
func (b *browser) in(site string) bool {
	b.t.Helper()
	status, page := b.send("GET", site, "")
	require.Equal(b.t, http.StatusOK, status)
	return strings.Contains(page, "<h1>ada</h1>")
}

// clone returns a browser with the same cookie: a thief's.
func (b *browser) clone() *browser {
	thief := newBrowser(b.t)
	thief.Transport, thief.cookie = b.Transport, b.cookie
	return thief
}

// out waits until a browser is not logged in, for no longer than an end may take.
func (b *browser) out(site string) {
	b.t.Helper()
	began := time.Now()
	for b.in(site) {
		require.Less(b.t, time.Since(began), every+10*time.Second, "an end did not come") // a busy machine
		time.Sleep(20 * time.Millisecond)
	}
}

// stream opens a stream at a site, and returns what tells all that came when it is over.
func (b *browser) stream(site string) (end <-chan string) {
	b.t.Helper()
	req, err := http.NewRequest("GET", site+"/events", nil)
	require.NoError(b.t, err)
	req.AddCookie(b.cookie)
	client := http.Client{Transport: b.Transport} // without a limit to its time
	res, err := client.Do(req)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, res.StatusCode)
	all := make(chan string, 1)
	go func() {
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		all <- string(text)
	}()
	return all
}

// start begins the program, as a process of its own, and returns its address.
func start(t *testing.T, program, redis, key string) (site string, stop func()) {
	cmd := exec.Command(program, "-addr", "localhost:0", "-redis", redis)
	cmd.Env = append(cmd.Environ(), "BULLA_KEY="+key)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
	}
	require.NoError(t, err)
	_, site, _ = strings.Cut(strings.TrimSpace(line), " ")
	u, err := url.Parse(site)
	require.NoError(t, err)
	return "http://localhost:" + u.Port(), stop
}

// Two processes know of each other by the list alone.
func TestTwoProcesses(t *testing.T) {
	redis := redistest.Single(t)
	program := filepath.Join(t.TempDir(), "everywhere")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	key := encrypt.GenerateKey().ExportSecret()
	one, stopOne := start(t, program, redis.Addr, key)
	two, stopTwo := start(t, program, redis.Addr, key)
	defer func() { stopOne(); stopTwo() }()
	login := func() *browser {
		b := newBrowser(t)
		require.Equal(t, http.StatusSeeOther, b.post(one, "/login"))
		require.True(t, b.in(one))
		require.True(t, b.in(two))
		return b
	}

	// The kept copy of a cookie ends with a logout, and the streams that it opened.
	user := login()
	copied := user.clone()
	require.True(t, copied.in(two))
	streams := []<-chan string{copied.stream(one), copied.stream(two)}
	goesOn := login().stream(two)
	user.post(one, "/logout")
	for _, end := range streams {
		require.Contains(t, <-end, "You were logged out.")
	}
	require.Empty(t, goesOn)
	require.False(t, user.in(two))
	require.False(t, copied.in(one))
	copied.out(two)

	// So does that from before a new ID, and all but one's own.
	user, other := login(), login()
	before := user.clone()
	user.post(one, "/others")
	before.out(two)
	other.out(two)
	require.True(t, user.in(one))
	require.True(t, user.in(two))

	// And all of them.
	user, other = login(), login()
	user.post(two, "/all")
	user.out(one)
	other.out(one)

	// When all but the list's server has begun anew, too.
	kept := login()
	stopOne()
	stopTwo()
	one, stopOne = start(t, program, redis.Addr, key)
	two, stopTwo = start(t, program, redis.Addr, key)
	require.False(t, copied.in(one))
	require.False(t, before.in(two))
	require.False(t, other.in(one))
	require.True(t, kept.in(two))

	// Redis is away for a while: reads go on, and a logout says that it is none.
	redis.Freeze()
	require.True(t, kept.in(one))
	require.Equal(t, http.StatusServiceUnavailable, kept.post(one, "/logout"))
	redis.Thaw() // which may carry out what nobody waits for any more
	kept = login()

	// It has lost everything: who was logged in logs in again.
	require.NoError(t, redis.Client().FlushAll(t.Context()).Err())
	kept.out(one)
	kept.out(two)
	login()
}

func TestSite(t *testing.T) {
	list, err := memstore.NewRevocations()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handler, err := newHandler(ctx, list, encrypt.GenerateKey())
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	defer server.Close()
	user := newBrowser(t)
	user.Transport = server.Client().Transport
	require.False(t, user.in(server.URL))
	user.post(server.URL, "/login")
	require.True(t, user.in(server.URL))
	thief := user.clone()
	user.post(server.URL, "/others")
	require.True(t, user.in(server.URL))
	require.False(t, thief.in(server.URL))
}
