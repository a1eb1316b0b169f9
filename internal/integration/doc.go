// Package integration tests what Bulla promises of its parts together: the
// middleware over every store, on real servers, with many requests at once, with
// lost replies, dead servers and forged cookies. It has no code of its own.
package integration
