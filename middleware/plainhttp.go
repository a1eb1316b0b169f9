package middleware

import (
	"net"
	"net/http"
	"strings"
)

// warnOfPlainHTTP says, once, that a browser is about to throw our cookie away: it is
// Secure, and the request came over plain HTTP. To the developer it looks as if no login
// held.
func (q *request) warnOfPlainHTTP() {
	m := q.m
	if !m.cookie.sample.Secure || m.warned.Load() || !overPlainHTTP(q.r) || m.warned.Swap(true) {
		return
	}
	m.log().WarnContext(q.r.Context(), "the session's Secure cookie goes out over plain HTTP, where browsers ignore it: serve HTTPS, or open http://localhost, or add middleware.WithInsecureHTTP; a proxy that ends TLS should send X-Forwarded-Proto. This is said once",
		"host", q.r.Host)
}

// overPlainHTTP tells whether nothing speaks for TLS, on the way here or in front of a
// proxy, and the host is not one for which browsers make an exception.
func overPlainHTTP(r *http.Request) bool {
	switch {
	case r.TLS != nil:
	case r.Header.Get("Sec-Fetch-Site") != "": // browsers send it over HTTPS, and to localhost
	case strings.Contains(strings.ToLower(r.Header.Get("X-Forwarded-Proto")), "https"):
	case strings.Contains(strings.ToLower(r.Header.Get("Forwarded")), "proto=https"):
	default:
		return !isLocal(r.Host)
	}
	return false
}

func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
