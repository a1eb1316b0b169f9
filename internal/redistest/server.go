//go:build unix

package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is one redis-server process.
type Server struct {
	Addr string

	t      testing.TB
	port   string
	dir    string
	args   []string
	cmd    *exec.Cmd
	waited chan struct{}
}

// Single starts one server, with args as they are written on a command line
// ("--maxmemory", "1mb").
func Single(t testing.TB, args ...string) *Server {
	t.Helper()
	s := start(t, nil, args...)
	s.WaitReady()
	return s
}

// require ends the test where there is no redis-server. It is the only place
// that does: under BULLA_REQUIRE=1, which make test sets, nothing is left out.
func require(t testing.TB) {
	t.Helper()
	for _, name := range []string{"redis-server", "redis-cli"} {
		_, err := exec.LookPath(name)
		if err == nil {
			continue
		}
		if os.Getenv("BULLA_REQUIRE") == "1" {
			t.Fatalf("redistest: %s is missing; on Debian: apt-get install redis-server redis-tools", name)
		}
		t.Skipf("redistest: %s is not installed, so what this test proves about a real Redis is left out", name)
	}
}

// start starts a server on a free port and does not wait for it. first are
// arguments that must come before all others, such as the name of a file.
func start(t testing.TB, first []string, args ...string) *Server {
	t.Helper()
	require(t)
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	s.Addr = net.JoinHostPort("127.0.0.1", s.port)
	s.args = append(s.args, first...)
	s.args = append(s.args,
		"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", filepath.Join(s.dir, "log"),
		"--repl-diskless-sync-delay", "0")
	s.args = append(s.args, args...)
	s.Start()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			t.Logf("log of the redis-server %s:\n%s", s.Addr, tail(log))
		}
	})
	return s
}

// Start starts the server again after [Server.Kill], on the same port, without
// data unless it was saved to its directory. It does not wait until it answers.
func (s *Server) Start(more ...string) {
	s.t.Helper()
	cmd := exec.Command("redis-server", append(s.args[:len(s.args):len(s.args)], more...)...)
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	waited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(waited)
	}()
	s.cmd, s.waited = cmd, waited
}

// Kill ends the server at once, with SIGKILL.
func (s *Server) Kill() {
	s.cmd.Process.Kill() // fails only if it has ended already
	<-s.waited
}

// Freeze stops the server with SIGSTOP: connections stay and get no answer.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("redistest: %v to %s: %v", sig, s.Addr, err)
	}
}

// WaitReady waits until the server answers PING and has loaded its data.
func (s *Server) WaitReady() {
	s.t.Helper()
	client := s.Client()
	Wait(s.t, "the server "+s.Addr+" answers", func() bool {
		select {
		case <-s.waited:
			s.t.Fatalf("redistest: redis-server %s ended", s.Addr)
		default:
		}
		// go-redis logs each failure to connect; this does not.
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return false
		}
		conn.Close()
		return client.Ping(context.Background()).Err() == nil
	})
}

// Client returns a client of this server for the test's own commands, which
// does not retry. It is closed with the test.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1})
	s.t.Cleanup(func() { client.Close() })
	return client
}

// Wait waits until ok says so, and ends the test after two minutes, which is for what never
// comes: a busy machine is in no hurry.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(2 * time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("redistest: waited too long until %s", what)
		}
	}
}

// cli runs redis-cli.
func cli(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redistest: redis-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePort returns a port that no test of this process has been given yet. It
// is below those that the kernel gives to outgoing connections, which otherwise
// could take it before the server does.
func freePort(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	// Processes of several packages run at once: each begins elsewhere.
	for i := range 20_000 {
		port := 10_000 + (os.Getpid()*101+i)%20_000
		if ports.given[port] {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		ln.Close()
		ports.given[port] = true
		return strconv.Itoa(port)
	}
	t.Fatal("redistest: no free port")
	return ""
}

// tail returns the last part of a log.
func tail(log []byte) string {
	const most = 3000
	if len(log) <= most {
		return string(log)
	}
	return fmt.Sprintf("...%s", log[len(log)-most:])
}
