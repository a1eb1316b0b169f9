package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const secret = "a secret of the test"

// startPython runs app.py, and returns its URL.
func startPython(t *testing.T) string {
	const exe = "/usr/bin/python3"
	if exec.Command(exe, "-c", "import fastapi, uvicorn, itsdangerous").Run() != nil {
		if os.Getenv("BULLA_REQUIRE") == "1" {
			t.Fatal("python3-fastapi, python3-uvicorn or python3-itsdangerous is missing")
		}
		t.Skip("left out: it needs python3-fastapi, python3-uvicorn and python3-itsdangerous; on Debian: .ci/setup")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, exe, "-m", "uvicorn", "--port", port, "--log-level", "warning", "app:app")
	cmd.Env = append(os.Environ(), "SESSION_SECRET="+secret, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return "http://" + addr
		}
		require.True(t, time.Now().Before(end), "app.py does not answer")
	}
}

func TestOneLoginForBoth(t *testing.T) {
	handler, err := newHandler(secret, startPython(t))
	require.NoError(t, err)
	site := httptest.NewTLSServer(handler) // the cookie is Secure
	defer site.Close()
	client := site.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	ask := func(method, path string) string {
		t.Helper()
		req, err := http.NewRequest(method, site.URL+path, nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, string(body))
		return string(body)
	}
	require.Contains(t, ask("GET", "/"), "Go: nobody")
	require.Contains(t, ask("POST", "/py/login?user=ada"), "Python: ada, 1 visits")
	require.Contains(t, ask("GET", "/"), "Go: ada, 2 visits")
	require.Contains(t, ask("GET", "/py/"), "Python: ada, 3 visits")
	require.Contains(t, ask("GET", "/"), "Go: ada, 4 visits")
	require.Contains(t, ask("POST", "/logout"), "Go: nobody")
	require.Contains(t, ask("GET", "/py/"), "Python: nobody")
	ask("POST", "/py/login?user=bob")
	require.Contains(t, ask("GET", "/"), "Go: bob, 2 visits")
	require.Contains(t, ask("POST", "/py/logout"), "Python: nobody")
	require.Contains(t, ask("GET", "/"), "Go: nobody")
}
