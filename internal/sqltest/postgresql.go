//go:build unix

package sqltest

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

var postgresql = kind{
	name: "PostgreSQL", debian: "postgresql", program: "postgres",
	create: func(s *Server) error {
		data := filepath.Join(s.Dir, "data")
		if err := output(command(s.Dir, "initdb", "-D", data, "-U", "bulla", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")); err != nil {
			return err
		}
		s.args = serve(s, data)
		return nil
	},
	ready: func(s *Server) bool {
		host, port, _ := net.SplitHostPort(s.Addr)
		return command(s.Dir, "pg_isready", "-q", "-h", host, "-p", port).Run() == nil
	},
	dsn:  func(addr string) string { return "postgres://bulla@" + addr + "/postgres?sslmode=disable" },
	stop: syscall.SIGINT,
}

func serve(s *Server, data string) []string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return []string{"-D", data, "-p", port, "-k", s.Dir,
		"--listen_addresses=127.0.0.1", "--fsync=off", "--full_page_writes=off", "--max_connections=200"}
}

// SmallPostgreSQL starts a PostgreSQL server whose files can't grow beyond two megabytes:
// it takes that for a disk that is full.
func SmallPostgreSQL(t testing.TB) *Server {
	t.Helper()
	require(t, postgresql)
	small := postgresql
	small.program = "sh"
	small.create = func(s *Server) error {
		data := filepath.Join(s.Dir, "data")
		if err := output(command(s.Dir, "initdb", "-D", data, "-U", "bulla", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")); err != nil {
			return err
		}
		// In blocks of 512 bytes. The last page does not fit as a whole: the system
		// writes a part of it, as where there is no room, and not an error of its own.
		s.args = append([]string{"-c", `ulimit -f 4104 && exec "$0" "$@"`, LookPath(postgresql.program)}, serve(s, data)...)
		return nil
	}
	return start(t, small, nil)
}

// Standby starts a replica of a PostgreSQL server, which follows it.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	follow := kind{
		name: "PostgreSQL standby", debian: postgresql.debian, program: postgresql.program,
		create: func(standby *Server) error {
			data := filepath.Join(standby.Dir, "data")
			host, port, _ := net.SplitHostPort(s.Addr)
			if err := output(command(standby.Dir, "pg_basebackup", "-h", host, "-p", port, "-U", "bulla", "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync")); err != nil {
				return err
			}
			standby.args = serve(standby, data)
			return nil
		},
		ready: postgresql.ready, dsn: postgresql.dsn, stop: postgresql.stop,
	}
	return start(t, follow, nil)
}
