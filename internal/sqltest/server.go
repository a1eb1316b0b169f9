//go:build unix

package sqltest

import (
	"bytes"
	"errors"
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
	Dir  string // everything that it writes

	// DSN is for the driver: pgx, or go-sql-driver/mysql. The user may do
	// everything in the database that it names.
	DSN string

	kind   kind
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
	stop         syscall.Signal // to end at once, but in order
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

// OpenPostgreSQL starts a server as [PostgreSQL] does, where there is no test. It is
// closed by the caller.
func OpenPostgreSQL(settings ...string) (*Server, error) { return open(postgresql, settings) }

// OpenMariaDB starts a server as [MariaDB] does, where there is no test. It is closed by
// the caller.
func OpenMariaDB(settings ...string) (*Server, error) { return open(mariadb, settings) }

func open(k kind, settings []string) (*Server, error) {
	if LookPath(k.program) == "" {
		return nil, fmt.Errorf("sqltest: %s is not installed", k.program)
	}
	s, err := newServer(k, settings)
	if err != nil && s != nil {
		s.Close()
	}
	return s, err
}

// require ends the test where a server's program is not installed. Under
// BULLA_REQUIRE=1, which make test sets, nothing is left out.
func require(t testing.TB, k kind) {
	t.Helper()
	if LookPath(k.program) != "" {
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
	s, err := newServer(k, settings)
	if s != nil {
		t.Cleanup(func() {
			log, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			s.Close()
			if t.Failed() {
				t.Logf("log of the %s at %s:\n%s", k.name, s.Addr, log[max(0, len(log)-3000):])
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Shared is a server for all tests of a process, which starts with the first that asks
// for it. The zero Shared is ready; [Shared.Close] belongs into TestMain.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// PostgreSQL returns the server.
func (s *Shared) PostgreSQL(t testing.TB) *Server { return s.get(t, postgresql) }

// MariaDB returns the server.
func (s *Shared) MariaDB(t testing.TB) *Server { return s.get(t, mariadb) }

func (s *Shared) get(t testing.TB, k kind) *Server {
	t.Helper()
	require(t, k)
	s.once.Do(func() { s.server, s.err = newServer(k, nil) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Close ends the server, if there is one.
func (s *Shared) Close() {
	if s.server != nil {
		s.server.Close()
	}
}

// newServer starts one. After an error there may be one to close.
func newServer(k kind, settings []string) (*Server, error) {
	// Neither server runs as root, and a test's own directory is nobody else's.
	dir, err := os.MkdirTemp("", "bulla-sqltest-")
	if err != nil {
		return nil, err
	}
	s := &Server{kind: k, Dir: dir}
	port, err := freePort()
	if err != nil {
		return s, err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", port)
	s.DSN = k.dsn(s.Addr)
	if user := unprivileged(); user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			return s, err
		}
	}
	if err := k.create(s); err != nil {
		return s, err
	}
	for _, setting := range settings {
		s.args = append(s.args, "--"+setting)
	}
	return s, s.start()
}

// Close ends the server and removes its data.
func (s *Server) Close() {
	if s.cmd != nil {
		s.Kill()
	}
	os.RemoveAll(s.Dir)
}

// Start starts the server again after [Server.Kill], on the same port with the same
// data, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start() error {
	end := time.Now().Add(time.Minute)
	if err := s.run(); err != nil {
		return err
	}
	for ; !s.kind.ready(s); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("sqltest: the %s at %s does not answer", s.kind.name, s.Addr)
		}
		select {
		case <-s.waited: // what is left of a killed one may have to go first
			if err := s.run(); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := command(s.Dir, s.kind.program, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	waited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(waited)
	}()
	s.cmd, s.waited = cmd, waited
	return nil
}

// Stop ends the server in order, so that all that it has is in its files. MariaDB does
// not start again if it is killed in its first moments.
func (s *Server) Stop() {
	s.cmd.Process.Signal(s.kind.stop)
	select {
	case <-s.waited:
	case <-time.After(time.Minute):
		s.Kill()
	}
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
// answer. It returns when all have stopped.
func (s *Server) Freeze() {
	s.signal(syscall.SIGSTOP)
	for end := time.Now().Add(time.Minute); !s.frozen() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// frozen tells whether all threads have stopped. One that does not know yet of the signal
// can answer once more.
func (s *Server) frozen() bool {
	for _, pid := range append(s.children(), s.cmd.Process.Pid) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, task := range tasks {
			stat, err := os.ReadFile(task)
			_, state, _ := strings.Cut(string(stat), ") ")
			if err == nil && !strings.HasPrefix(state, "T") {
				return false
			}
		}
	}
	return true
}

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
	cmd := exec.Command(LookPath(program), args...)
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

// LookPath returns where a server's program is, or "". It also looks where Debian puts what not everybody should find.
func LookPath(program string) string {
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
func freePort() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	for range 20_000 {
		// Processes of several packages run at once: each begins elsewhere.
		port := strconv.Itoa(10_000 + (os.Getpid()*97+ports.next)%20_000)
		ports.next++
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			ln.Close()
			return port, nil
		}
	}
	return "", errors.New("sqltest: no free port")
}
