//go:build unix

package sqltest

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var mariadb = kind{
	name: "MariaDB", debian: "mariadb-server-core", program: "mariadbd",
	create: func(s *Server) error {
		// Without tables of privileges everybody may do everything, and nothing
		// needs to be installed.
		init := filepath.Join(s.Dir, "init.sql")
		if err := os.WriteFile(init, []byte("CREATE DATABASE IF NOT EXISTS bulla;\n"), 0o644); err != nil {
			return err
		}
		data := filepath.Join(s.Dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		if user := unprivileged(); user != nil {
			if err := os.Chown(data, int(user.Uid), int(user.Gid)); err != nil {
				return err
			}
		}
		_, port, _ := net.SplitHostPort(s.Addr)
		s.args = []string{"--no-defaults", "--skip-grant-tables", "--skip-name-resolve", "--datadir=" + data, "--init-file=" + init,
			"--bind-address=127.0.0.1", "--port=" + port, "--socket=" + filepath.Join(s.Dir, "socket"), "--pid-file=" + filepath.Join(s.Dir, "pid"),
			"--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=32M", "--max-connections=400"}
		return nil
	},
	// A server that listens has run the init file, and greets first.
	ready: func(s *Server) bool {
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(make([]byte, 5))
		return n > 0 && err == nil
	},
	dsn:  func(addr string) string { return "root@tcp(" + addr + ")/bulla" },
	stop: syscall.SIGTERM,
}
