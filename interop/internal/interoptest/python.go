package interoptest

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// FindPython returns a Python that has these modules. Without one the test is left
// out, and says so; with BULLA_REQUIRE=1, as make test sets it, it fails.
func FindPython(t testing.TB, modules ...string) string {
	t.Helper()
	// A Python in front of the path may not be the one of Debian's packages.
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import "+strings.Join(modules, ", ")).Run() == nil {
			return name
		}
	}
	text := "no python3 with " + strings.Join(modules, ", ") + "; on Debian: .ci/setup"
	if os.Getenv("BULLA_REQUIRE") == "1" {
		t.Fatal(text)
	}
	t.Skip("left out: " + text)
	return ""
}

// Python starts a program that prints the port on which it listens, and returns the
// URL. path are folders in which it finds modules. It ends with the test.
func Python(t testing.TB, python, program, arg string, path ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, python, program, arg)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+strings.Join(path, ":"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore")
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	ok := lines.Scan()
	port := lines.Text()
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", program, log.String())
		}
	})
	if !ok {
		t.Fatalf("%s printed no port", program)
	}
	url := "http://127.0.0.1:" + port
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url + "/")
		if err == nil {
			resp.Body.Close()
			return url
		}
		if time.Now().After(end) {
			t.Fatal(fmt.Errorf("%s does not answer: %w", program, err))
		}
	}
}
