// Package sqltest starts real PostgreSQL and MariaDB servers for tests, each with data
// of its own, and pgbouncer before one. Servers listen on free loopback ports, write nothing outside a temporary
// directory, and end with the test. They don't wait for the disk.
package sqltest
