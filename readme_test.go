package bulla_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// blocks returns what stands between a document's fences of a language.
func blocks(t *testing.T, name, language string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	var all []string
	for _, part := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
		block, _, ok := strings.Cut(part, "\n```")
		require.True(t, ok, "%s: a fence does not end", name)
		all = append(all, block+"\n")
	}
	return all
}

// newModule follows README's commands in an empty folder, in which "go get" finds the
// checkout, and no network.
func newModule(t *testing.T) (dir string, do func(command string, args ...string) string) {
	t.Helper()
	checkout, err := os.Getwd()
	require.NoError(t, err)
	dir = t.TempDir()
	do = func(command string, args ...string) string {
		t.Helper()
		cmd := exec.Command(command, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "BULLA_KEY=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %s\n%s", command, args, out)
		return string(out)
	}
	commands := strings.Split(strings.TrimSpace(blocks(t, "README.md", "sh")[0]), "\n")
	require.Equal(t, []string{"go mod init example.com/hello", "go get github.com/bulla-go/bulla"}, commands)
	for _, line := range commands {
		words := strings.Fields(line)
		if words[1] == "get" {
			do("go", "mod", "edit", "-replace", "github.com/bulla-go/bulla="+checkout)
		}
		do(words[0], words[1:]...)
	}
	return dir, do
}

// TestReadmeProgram runs README's program as it stands there, but for the port, and
// its curl lines.
func TestReadmeProgram(t *testing.T) {
	dir, do := newModule(t)
	free, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	addr := free.Addr().(*net.TCPAddr)
	require.NoError(t, free.Close())
	port := fmt.Sprint("localhost:", addr.Port)

	program := blocks(t, "README.md", "go")[0]
	require.Equal(t, 1, strings.Count(program, "localhost:8080"))
	program = strings.Replace(program, "localhost:8080", port, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644))
	do("go", "build", "-o", "hello", ".")
	var stderr bytes.Buffer
	hello := exec.Command(filepath.Join(dir, "hello"))
	hello.Stderr = &stderr
	require.NoError(t, hello.Start())
	t.Cleanup(func() {
		hello.Process.Kill()
		hello.Wait()
	})
	require.Eventually(t, func() bool {
		resp, err := http.Head("http://" + port + "/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	}, 20*time.Second, 20*time.Millisecond, &stderr)

	asked := 0
	for _, block := range blocks(t, "README.md", "console") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		require.Zero(t, len(lines)%2, "a question and its answer")
		for i := 0; i < len(lines); i += 2 {
			command, ok := strings.CutPrefix(lines[i], "$ curl ")
			require.True(t, ok)
			words := strings.Fields(strings.ReplaceAll(command, "localhost:8080", port))
			require.Equal(t, lines[i+1]+"\n", do("curl", append([]string{"-sS", "--max-time", "10"}, words...)...))
			asked++
		}
	}
	require.Equal(t, 2, asked)
}

// TestReadmeCompiles has all of README's Go in one package, and its test pass.
func TestReadmeCompiles(t *testing.T) {
	dir, do := newModule(t)
	code := blocks(t, "README.md", "go")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(code[0]), 0o644))
	tested := false
	for i, block := range code[1:] {
		name := fmt.Sprintf("block%d.go", i)
		if strings.Contains(block, "testing.T") {
			name, tested = fmt.Sprintf("block%d_test.go", i), true
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package main\n\n"+imports(block)+block), 0o644))
	}
	require.True(t, tested)
	do("go", "vet", ".")
	do("go", "test", ".")
}

// imports returns the imports of what a block uses.
func imports(block string) string {
	known := []string{
		"context", "errors", "fmt", "log", "net/http", "net/http/httptest", "os", "testing", "time",
		"github.com/bulla-go/bulla/encrypt",
		"github.com/bulla-go/bulla/middleware",
		"github.com/bulla-go/bulla/middleware/sessionstest",
		"github.com/bulla-go/bulla/sessions",
		"github.com/bulla-go/bulla/stores",
		"github.com/bulla-go/bulla/stores/cookiestore",
		"github.com/bulla-go/bulla/stores/memstore",
	}
	used := slices.DeleteFunc(known, func(path string) bool {
		return !regexp.MustCompile(`\b` + filepath.Base(path) + `\.[A-Z]`).MatchString(block)
	})
	return "import (\n\t\"" + strings.Join(used, "\"\n\t\"") + "\"\n)\n\n"
}

// TestReadmeOptions: README has every option of the middleware.
func TestReadmeOptions(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	options := 0
	for name := range exported(t, "middleware") {
		if strings.HasPrefix(name, "With") {
			require.Contains(t, string(text), "`"+name+"`")
			options++
		}
	}
	require.Greater(t, options, 30)
}
