package main_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
)

const cookieName = "__Host-Http-session"

func build(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "quickstart")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// run runs the program on a free port and returns its address. The test stops
// it.
func run(t *testing.T, program string, env ...string) string {
	t.Helper()
	cmd := exec.Command(program, "-addr", "localhost:0")
	cmd.Env = append(os.Environ(), env...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if url := regexp.MustCompile(`http://localhost:\d+`).FindString(lines.Text()); url != "" {
				found <- url
				break
			}
		}
		io.Copy(io.Discard, stderr)
	}()
	select {
	case url := <-found:
		require.NotEmpty(t, url, "the program ended")
		return url
	case <-time.After(20 * time.Second):
		require.Fail(t, "the program does not say where it listens")
		return ""
	}
}

// browser is curl with a cookie jar.
type browser struct {
	t   *testing.T
	url string
	jar string
}

func newBrowser(t *testing.T, url string) *browser {
	return &browser{t, url, filepath.Join(t.TempDir(), "jar")}
}

// curl returns the status, our Set-Cookie lines, and the page.
func (b *browser) curl(path string, args ...string) (status string, lines []string, page string) {
	b.t.Helper()
	args = append([]string{"--silent", "--show-error", "--max-time", "20", "--include", b.url + path}, args...)
	out, err := exec.Command("/usr/bin/curl", args...).Output()
	require.NoError(b.t, err)
	head, page, ok := strings.Cut(string(out), "\r\n\r\n")
	require.True(b.t, ok)
	fields := strings.Split(head, "\r\n")
	for _, line := range fields[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(name, "Set-Cookie") {
			require.True(b.t, strings.HasPrefix(value, cookieName+"="))
			lines = append(lines, value)
		}
	}
	require.LessOrEqual(b.t, len(lines), 1, "more than one Set-Cookie for one cookie")
	return strings.Fields(fields[0])[1], lines, page
}

func (b *browser) visit(path string, args ...string) (page string) {
	b.t.Helper()
	status, _, page := b.curl(path, append(args, "--cookie", b.jar, "--cookie-jar", b.jar)...)
	require.Equal(b.t, "200", status)
	return page
}

func (b *browser) post(path string, form ...string) []string {
	b.t.Helper()
	args := []string{"--request", "POST", "--cookie", b.jar, "--cookie-jar", b.jar}
	for _, f := range form {
		args = append(args, "--data", f)
	}
	status, lines, _ := b.curl(path, args...)
	require.Equal(b.t, "303", status)
	return lines
}

// cookie is the value in the jar.
func (b *browser) cookie() string {
	b.t.Helper()
	jar, err := os.ReadFile(b.jar)
	require.NoError(b.t, err)
	for line := range strings.Lines(string(jar)) {
		if f := strings.Fields(line); len(f) == 7 && f[5] == cookieName {
			return f[6]
		}
	}
	return ""
}

func TestQuickstart(t *testing.T) {
	url := run(t, build(t))
	b := newBrowser(t, url)

	// It counts, one cookie an answer.
	for n := range 3 {
		require.Contains(t, b.visit("/"), fmt.Sprintf("Visit %d<", n+1))
		require.NotEmpty(t, b.cookie(), "curl takes a __Host- cookie on http://localhost")
	}
	require.Contains(t, newBrowser(t, url).visit("/"), "Visit 1<", "another browser")

	// A login changes the ID and keeps the rest; the notice is shown once.
	before := b.cookie()
	lines := b.post("/login", "user=Ada Lovelace")
	require.Len(t, lines, 1)
	require.Regexp(t, `; Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax$`, lines[0])
	in := b.cookie()
	require.NotEqual(t, before[:32], in[:32])
	page := b.visit("/")
	require.Contains(t, page, "Visit 4<")
	require.Contains(t, page, "Welcome, Ada Lovelace.")
	page = b.visit("/")
	require.Contains(t, page, "Visit 5<")
	require.Contains(t, page, "Signed in as Ada Lovelace.")
	require.NotContains(t, page, "Welcome")

	// The cookie shows nothing of the content.
	value := b.cookie()
	id, payload, ok := strings.Cut(value, ".")
	require.True(t, ok)
	for _, part := range []string{id, payload} {
		plain, err := base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
		for _, word := range []string{"Lovelace", "user", "visits", "notice"} {
			require.NotContains(t, string(plain), word)
		}
	}

	// Logout takes the cookie out of curl's jar.
	require.Len(t, b.post("/logout"), 1)
	require.Empty(t, b.cookie())
	page = b.visit("/")
	require.Contains(t, page, "Visit 1<")
	require.NotContains(t, page, "Ada")
}

// Whatever is done to the cookie ends in a new session and 200.
func TestBrokenCookies(t *testing.T) {
	url := run(t, build(t))
	b, other := newBrowser(t, url), newBrowser(t, url)
	b.visit("/")
	other.visit("/")
	good, another := b.cookie(), other.cookie()

	send := func(header string) (string, string) {
		status, _, page := b.curl("/", "--header", "Cookie: "+header)
		return status, page
	}
	_, page := send(cookieName + "=" + good)
	require.Contains(t, page, "Visit 2<")

	var broken []string
	for _, i := range []int{0, 15, 31, 32, 33, 40, len(good) / 2, len(good) - 1} {
		broken = append(broken, good[:i]+swap(good[i])+good[i+1:], good[:i]+good[i+1:], good[:i+1]+good[i:], good[:i])
	}
	broken = append(broken, good+good, another[:32]+good[32:], good[:32]+another[32:], `"`+good+`"`, strings.Repeat("A", 4000))
	for _, value := range broken {
		status, page := send(cookieName + "=" + value)
		require.Equal(t, "200", status, value)
		require.Contains(t, page, "Visit 1<", value)
	}
	for header, want := range map[string]string{
		cookieName + "=" + good + "; " + cookieName + "=" + another:   "Visit 1<", // neither
		cookieName + "=" + good + "; " + cookieName + "=" + good:      "Visit 2<",
		cookieName + "=" + good + "; " + cookieName + "=" + good[:50]: "Visit 2<",
	} {
		status, page := send(header)
		require.Equal(t, "200", status)
		require.Contains(t, page, want)
	}
}

// swap returns another character of the base64url alphabet, and never one that
// differs in unused bits alone: there are none that mean the same.
func swap(c byte) string {
	if c == 'Q' {
		return "g"
	}
	return "Q"
}

// With a key from the environment sessions outlive the process; with another one
// they are nobody's.
func TestKeyFromEnvironment(t *testing.T) {
	program := build(t)
	key := "BULLA_KEY=" + encrypt.GenerateKey().ExportSecret()
	b := newBrowser(t, run(t, program, key))
	b.visit("/")
	for env, want := range map[string]string{key: "Visit 2<", "BULLA_KEY=": "Visit 1<"} {
		_, _, page := newBrowser(t, run(t, program, env)).curl("/", "--header", "Cookie: "+cookieName+"="+b.cookie())
		require.Contains(t, page, want)
	}

	// A bad key stops the program; it does not fall back on another.
	cmd := exec.Command(program, "-addr", "localhost:0")
	cmd.Env = append(os.Environ(), "BULLA_KEY=too short")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "BULLA_KEY")
	require.NotContains(t, string(out), "too short")
}

// Another site's form can't log anybody in or out.
func TestCrossOrigin(t *testing.T) {
	b := newBrowser(t, run(t, build(t)))
	b.visit("/")
	for _, path := range []string{"/login", "/logout"} {
		status, lines, _ := b.curl(path, "--request", "POST", "--data", "user=Eve", "--cookie", b.jar, "--header", "Origin: https://evil.example")
		require.Equal(t, "403", status)
		require.Empty(t, lines)
	}
	require.Contains(t, b.visit("/"), "Visit 2<")
}
