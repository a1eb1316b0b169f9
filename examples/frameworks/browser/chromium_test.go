package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// chromium starts a browser with an empty profile, in which every name below
// .example is this machine. Where there is no Chromium the test is left out, unless
// BULLA_REQUIRE=1, as make test sets it. Tests with a browser run side by side, since
// they wait more than they compute.
func chromium(t *testing.T) context.Context {
	t.Helper()
	t.Parallel()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("BULLA_REQUIRE") == "1" {
			t.Fatal("there is no chromium; install it, or unset BULLA_REQUIRE")
		}
		t.Skip("there is no chromium: what a browser does with the cookies is left out")
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"),
	)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	tab, cancel = context.WithTimeout(tab, 5*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(tab), "start the browser")
	return tab
}

// tab is a browser's tab.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// visit opens url and returns what the page says.
func (b tab) visit(url string) string {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Navigate(url)))
	return b.text()
}

// submit clicks what leads to another page, and returns what that one says.
func (b tab) submit(selector chromedp.CSS) string {
	b.t.Helper()
	_, err := chromedp.RunResponse(b.ctx, chromedp.Click(selector))
	require.NoError(b.t, err)
	return b.text()
}

func (b tab) text() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	require.NoError(b.t, err)
	return text
}

// script returns what JavaScript in the page evaluates to.
func (b tab) script(source string) string {
	b.t.Helper()
	result, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](source, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	return result
}

// cookies returns what the browser's jar would send to url.
func (b tab) cookies(url string) []*network.Cookie {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	require.NoError(b.t, err)
	return result.Cookies
}

// cookie returns the only cookie for url.
func (b tab) cookie(url string) *network.Cookie {
	b.t.Helper()
	cookies := b.cookies(url)
	require.Len(b.t, cookies, 1)
	return cookies[0]
}
