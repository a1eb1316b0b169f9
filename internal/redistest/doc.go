// Package redistest starts real Redis servers for tests: one, a Cluster, or a
// primary and a replica under Sentinel; and a proxy that loses replies. Servers
// listen on free loopback ports, write nothing outside the test's temporary
// directory, and end with the test.
package redistest
