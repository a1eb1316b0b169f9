// Package token is what a client carries: the session's ID, the text of a cookie's
// value, and the MAC of a signed ID.
package token
