package browser

import (
	"bufio"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
)

// redis starts a server, and returns its address.
func redis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("BULLA_REQUIRE") == "1" {
			t.Fatal("there is no redis-server; install it, or unset BULLA_REQUIRE")
		}
		t.Skip("there is no redis-server: two processes with a list are left out")
	}
	for range 5 { // the port may be taken meanwhile
		free, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := free.Addr().String()
		_, port, _ := net.SplitHostPort(addr)
		free.Close()
		cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		stop := func() { cmd.Process.Kill(); <-ended }
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
			select {
			case <-ended:
			default:
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
					t.Cleanup(stop)
					return addr
				}
				continue
			}
			break
		}
		stop()
	}
	t.Fatal("redis-server did not start")
	return ""
}

// everywhere starts n processes of examples/everywhere with one list. They are one site:
// a browser sends a cookie to every port of a host.
func everywhere(t *testing.T, n int) (sites []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "everywhere")
	build := exec.Command("go", "build", "-o", file, "./examples/everywhere")
	build.Dir = filepath.Join("..", "..", "..") // whose module has the client of Redis
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	list, key := redis(t), encrypt.GenerateKey().ExportSecret()
	for range n {
		cmd := exec.Command(file, "-addr", "localhost:0", "-redis", list)
		cmd.Env = append(cmd.Environ(), "BULLA_KEY="+key)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		line, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)
		_, site, _ := strings.Cut(strings.TrimSpace(line), " ")
		u, err := url.Parse(site)
		require.NoError(t, err)
		sites = append(sites, "http://localhost:"+u.Port()+"/")
	}
	return sites
}

// login logs ada in at a site.
func (b tab) login(site string) {
	b.t.Helper()
	require.Contains(b.t, b.visit(site), "Log in")
	b.script(`document.querySelector("input").value = "ada"; ""`)
	require.Contains(b.t, b.submit("button"), "ada")
}

// puts puts a cookie back that the browser had: a thief's browser, which kept it.
func (b tab) puts(c *network.Cookie, site string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{
		Name: c.Name, Value: c.Value, URL: site, Path: c.Path, Secure: &c.Secure, HTTPOnly: &c.HTTPOnly, SameSite: c.SameSite,
	})
	require.NoError(b.t, err)
	require.Equal(b.t, c.Value, b.cookie(site).Value)
}

// refused waits until a kept cookie is nobody's at a site. It is to be within a second;
// the machine may be busy.
func (b tab) refused(c *network.Cookie, site string) {
	b.t.Helper()
	began := time.Now()
	for b.puts(c, site); strings.Contains(b.visit(site), "ada"); b.puts(c, site) {
		require.Less(b.t, time.Since(began), time.Minute, "the cookie lives")
		time.Sleep(50 * time.Millisecond)
	}
}

// Two processes that know of each other by the list alone, and a browser that keeps
// copies of its cookies: what has ended at one is refused by the other.
func TestEndedElsewhere(t *testing.T) {
	ctx := chromium(t)
	page := tab{t, ctx}
	sites := everywhere(t, 2)
	one, two := sites[0], sites[1]

	page.login(one)
	kept := page.cookie(one)
	require.Contains(t, page.visit(two), "ada")

	// Another tab of it stays open at the other process, with a stream.
	other, cancel := chromedp.NewContext(ctx)
	defer cancel()
	open := tab{t, other}
	require.Contains(t, open.visit(two), "ada")
	require.Eventually(t, func() bool { return open.script(`String(events.readyState)`) == "1" }, 20*time.Second, 50*time.Millisecond)

	page.visit(one)
	require.Contains(t, page.submit(`form[action="/logout"] button`), "Log in")
	require.Empty(t, page.cookies(one))
	page.refused(kept, one)
	page.refused(kept, two)
	require.Eventually(t, func() bool {
		return open.script(`document.getElementById("end").textContent`) == "You were logged out."
	}, 20*time.Second, 50*time.Millisecond)

	// The cookie of before a new ID, which "log out everywhere else" gives.
	_, err := chromedp.Call(page.ctx, network.ClearBrowserCookies, cdp.Empty{})
	require.NoError(t, err)
	page.login(two)
	before := page.cookie(two)
	require.Contains(t, page.submit(`form[action="/others"] button`), "ada")
	after := page.cookie(two)
	require.NotEqual(t, before.Value, after.Value)
	page.refused(before, one)
	page.refused(before, two)
	page.puts(after, one)
	require.Contains(t, page.visit(one), "ada")
	require.Contains(t, page.visit(two), "ada")
}
