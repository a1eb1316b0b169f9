//go:build unix

package integration_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// helperVariable makes the test binary a helper: another process that serves
// sessions of the same Redis.
const helperVariable = "BULLA_INTEGRATION_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) == "" {
		os.Exit(m.Run())
	}
	if err := help(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// orders are what a helper must do. It is told through a pipe, since they hold
// a key and cookies.
type orders struct {
	Addr          string // of Redis
	Key           string
	Cache         time.Duration
	Counter, Keys string // cookies
	Clients, Each int
	First, Last   int // of the keys to set

	Site    string   // whose streams it reads, with these cookies, in place of all else
	Streams []string // cookies
}

// help serves one helper's requests. It says that it is ready and waits for the
// word, so that all begin together.
func help(in io.Reader, out io.Writer) error {
	var o orders
	orders := json.NewDecoder(in)
	if err := orders.Decode(&o); err != nil {
		return err
	}
	if o.Site != "" {
		return readStreams(o, orders, out)
	}
	key, err := encrypt.ParseKey(o.Key)
	if err != nil {
		return err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: o.Addr})
	defer client.Close()
	store, err := redisstore.New(client)
	if err != nil {
		return err
	}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc), middleware.WithCookieCache(o.Cache))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	var word string
	if err := orders.Decode(&word); err != nil {
		return err
	}
	var failures failures
	run(&failures, mw, browser{o.Counter}, o.Clients, o.Each)
	setKeys(&failures, mw, browser{o.Keys}, o.First, o.Last)
	if n := failures.Load(); n > 0 {
		return fmt.Errorf("%d requests failed", n)
	}
	return nil
}

// reporter is a test, or a helper.
type reporter interface {
	Errorf(format string, args ...any)
}

type failures struct{ atomic.Int64 }

func (f *failures) Errorf(format string, args ...any) {
	f.Add(1)
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// helper is a running helper.
type helper struct {
	orders *json.Encoder
	says   *bufio.Reader // after "ready"
	cmd    *exec.Cmd
}

// startHelper returns when the helper is ready. env adds to its environment.
func startHelper(t testing.TB, o orders, env ...string) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), helperVariable+"=1"), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // fails only if it has ended already
		cmd.Wait()
	})
	h := &helper{json.NewEncoder(in), bufio.NewReader(out), cmd}
	require.NoError(t, h.orders.Encode(o))
	line, err := h.says.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return h
}

func (h *helper) start(t testing.TB) { require.NoError(t, h.orders.Encode("go")) }

func (h *helper) wait(t testing.TB) { require.NoError(t, h.cmd.Wait(), "a helper failed") }
