package interoptest

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
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
	p := new(Program)
	t.Cleanup(func() {
		if log := p.Stop(); t.Failed() {
			t.Logf("%s:\n%s", program, log)
		}
	})
	return p.URL(t, python, program, arg, path...)
}

// Program is a program that several tests share. The zero Program has not started.
type Program struct {
	once sync.Once
	stop context.CancelFunc
	cmd  *exec.Cmd // nil where it does not run
	log  strings.Builder
	url  string
}

// URL starts the program, unless it runs, and returns where it is; see [Python].
func (p *Program) URL(t testing.TB, python, program, arg string, path ...string) string {
	t.Helper()
	p.once.Do(func() { p.start(t, python, program, arg, path) })
	if p.url == "" {
		t.Fatalf("%s did not start", program)
	}
	return p.url
}

func (p *Program) start(t testing.TB, python, program, arg string, path []string) {
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.cmd = exec.CommandContext(ctx, python, program, arg)
	p.cmd.Env = append(os.Environ(), "PYTHONPATH="+strings.Join(path, ":"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore")
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.cmd = nil
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("%s printed no port:\n%s", program, p.Stop())
	}
	url := "http://127.0.0.1:" + lines.Text()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url + "/")
		if err == nil {
			resp.Body.Close()
			p.url = url
			return
		}
		if time.Now().After(end) {
			t.Fatal(fmt.Errorf("%s does not answer: %w", program, err))
		}
	}
}

// Stop ends the program, if it runs, and returns what it wrote to its standard error.
func (p *Program) Stop() string {
	if p.cmd == nil {
		return ""
	}
	p.stop()
	p.cmd.Wait()
	p.cmd = nil
	return p.log.String()
}
