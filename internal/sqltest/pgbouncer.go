//go:build unix

package sqltest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// PgBouncer starts a pgbouncer before a PostgreSQL server, in transaction mode: between
// two transactions a client's connection to the server is anybody's, and there are fewer
// of them than of clients. Settings are lines of its configuration file.
func (s *Server) PgBouncer(t testing.TB, settings ...string) *Server {
	t.Helper()
	before := kind{
		name: "pgbouncer", debian: "pgbouncer", program: "pgbouncer",
		create: func(bouncer *Server) error {
			host, port, _ := net.SplitHostPort(s.Addr)
			_, listen, _ := net.SplitHostPort(bouncer.Addr)
			text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=bulla\n\n[pgbouncer]\n", host, port) +
				"listen_addr = 127.0.0.1\nlisten_port = " + listen + "\nunix_socket_dir =\n" +
				"auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"
			for _, setting := range settings {
				text += setting + "\n"
			}
			config := filepath.Join(bouncer.Dir, "pgbouncer.ini")
			bouncer.args = []string{config}
			return os.WriteFile(config, []byte(text), 0o644)
		},
		ready: postgresql.ready, dsn: postgresql.dsn, stop: syscall.SIGINT,
	}
	return start(t, before, nil)
}
