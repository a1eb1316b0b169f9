//go:build unix

package sqltest

import (
	"bytes"
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
)

// Server is one server.
type Server struct {
	Addr string

	// DSN is for the driver: pgx, or go-sql-driver/mysql. The user may do
	// everything in the database that it names.
	DSN string

	kind   kind
	dir    string
	args   []string
	cmd    *exec.Cmd
	waited chan struct{}
}

// kind is what sets the two apart.
type kind struct {
	name, debian string
	program      string
	create       func(s *Server) error // its data, and its arguments
	ready        func(s *Server) bool
	dsn          func(addr string) string
}

// PostgreSQL starts a PostgreSQL server, with settings as "name=value".
func PostgreSQL(t testing.TB, settings ...string) *Server {
	t.Helper()
	return start(t, postgresql, settings)
}

// MariaDB starts a MariaDB server, with settings as "name=value".
func MariaDB(t testing.TB, settings ...string) *Server {
	t.Helper()
	return start(t, mariadb, settings)
}

// require ends the test where a server's program is not installed. Under
// BULLA_REQUIRE=1, which make test sets, nothing is left out.
func require(t testing.TB, k kind) {
	t.Helper()
	if lookPath(k.program) != "" {
		return
	}
	if os.Getenv("BULLA_REQUIRE") == "1" {
		t.Fatalf("sqltest: %s is missing; on Debian: apt-get install %s", k.program, k.debian)
	}
	t.Skipf("sqltest: %s is not installed, so what this test proves about a real %s is left out", k.program, k.name)
}

func start(t testing.TB, k kind, settings []string) *Server {
	t.Helper()
	require(t, k)
	// Neither server runs as root, and the test's own directory is nobody else's.
	dir, err := os.MkdirTemp("", "bulla-sqltest-")
	if err != nil {
		t.Fatalf("sqltest: %v", err)
	}
	s := &Server{kind: k, dir: dir, Addr: net.JoinHostPort("127.0.0.1", freePort(t))}
	s.DSN = k.dsn(s.Addr)
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Kill()
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of the %s at %s:\n%s", k.name, s.Addr, log[max(0, len(log)-3000):])
		}
		os.RemoveAll(dir)
	})
	if user := unprivileged(); user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			t.Fatalf("sqltest: %v", err)
		}
	}
	if err := k.create(s); err != nil {
		t.Fatalf("sqltest: %v", err)
	}
	for _, setting := range settings {
		s.args = append(s.args, "--"+setting)
	}
	s.Start(t)
	return s
}

// Start starts the server again after [Server.Kill], on the same port with the same
// data, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for s.run(t); !s.kind.ready(s); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("sqltest: the %s at %s does not answer", s.kind.name, s.Addr)
		}
		select {
		case <-s.waited: // what is left of a killed one may have to go first
			s.run(t)
		default:
		}
	}
}

func (s *Server) run(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("sqltest: %v", err)
	}
	defer log.Close()
	cmd := command(s.dir, s.kind.program, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("sqltest: %v", err)
	}
	waited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(waited)
	}()
	s.cmd, s.waited = cmd, waited
}

// Kill ends the server and its processes at once, with SIGKILL.
func (s *Server) Kill() {
	children := s.children()
	s.cmd.Process.Kill() // fails only if it has ended already
	<-s.waited
	for _, pid := range children {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Freeze stops the server and its processes with SIGSTOP: connections stay and get no
// answer.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	for _, pid := range append(s.children(), s.cmd.Process.Pid) {
		syscall.Kill(pid, sig)
	}
}

// children returns the processes of PostgreSQL's connections and helpers.
func (s *Server) children() (pids []int) {
	pid := s.cmd.Process.Pid
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// command returns one that does not run as root.
func command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(lookPath(program), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TZ=UTC")
	if user := unprivileged(); user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	}
	return cmd
}

// unprivileged returns nobody where this process is root's.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: 65534, Gid: 65534}
}

// output runs a command and returns its error with what it said.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(out))
	}
	return nil
}

// lookPath also looks where Debian puts what not everybody should find.
func lookPath(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/"} {
		if found, _ := filepath.Glob(pattern + program); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return ""
}

var ports struct {
	sync.Mutex
	next int
}

// freePort returns a port that no test of this process has been given yet. It is below
// those that the kernel gives to outgoing connections.
func freePort(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 20_000 {
		// Processes of several packages run at once: each begins elsewhere.
		port := strconv.Itoa(10_000 + (os.Getpid()*97+ports.next)%20_000)
		ports.next++
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("sqltest: no free port")
	return ""
}
