// Package integration tests what Bulla promises of its parts together: the
// middleware over every store, on real servers, with many requests at once, with
// lost replies, dead servers and forged cookies; and what each kind of request
// costs, which docs/costs.md lists. It has no code of its own.
package integration
