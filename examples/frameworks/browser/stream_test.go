package browser

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// program builds and starts one of the example programs, and returns its address.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", file, "github.com/bulla-go/bulla/examples/"+name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(file, append([]string{"-addr", "localhost:0"}, args...)...)
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // fails only if it has ended already
		cmd.Wait()
	})
	line, err := bufio.NewReader(log).ReadString('\n')
	require.NoError(t, err)
	return regexp.MustCompile(`http://\S+/`).FindString(line)
}

// event returns the number of the last event that the page shows.
func (b tab) event() int {
	b.t.Helper()
	n, err := strconv.Atoi(b.script(`document.getElementById("n").textContent`))
	require.NoError(b.t, err)
	return n
}

// ended waits until the page shows how its stream ended.
func (b tab) ended(want string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.script(`document.getElementById("end").textContent`) == want },
		20*time.Second, 50*time.Millisecond)
	require.Equal(b.t, "2", b.script(`String(events.readyState)`), "closed for good")
	last := b.event()
	time.Sleep(4 * time.Second) // EventSource would have connected again by now
	require.Equal(b.t, last, b.event())
}

// EventSource, in the browser that people have: two tabs, and a logout in one of them.
func TestEventSource(t *testing.T) {
	ctx := chromium(t)
	first := tab{t, ctx}
	url := program(t, "sse")
	first.visit(url)
	first.script(`document.querySelector("input").value = "ada"; ""`)
	require.Contains(t, first.submit("button"), "ada")
	require.Eventually(t, func() bool { return first.event() > 1 }, 20*time.Second, 50*time.Millisecond)

	other, cancel := chromedp.NewContext(ctx)
	defer cancel()
	second := tab{t, other}
	require.Contains(t, second.visit(url), "ada")
	require.Eventually(t, func() bool { return second.event() > 0 }, 20*time.Second, 50*time.Millisecond)
	require.NotContains(t, second.submit(`form[action="/logout"] button`), "ada")
	first.ended("You have logged out.")
}

// A page that is left open with nothing but a stream runs out.
func TestEventSourceIdles(t *testing.T) {
	page := tab{t, chromium(t)}
	page.visit(program(t, "sse", "-idle", "3s"))
	page.script(`document.querySelector("input").value = "ada"; ""`)
	require.Contains(t, page.submit("button"), "ada")
	page.ended("Your session has expired.")
	require.Greater(t, page.event(), 2)
}
