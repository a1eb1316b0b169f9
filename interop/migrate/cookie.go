package migrate

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxValues is how many values of the old cookie a request may bring: each can cost a
// question to the old store.
const maxValues = 4

// values returns the values of the cookie in r, each once; maxValues+1 at most.
func values(r *http.Request, name string) (found []string) {
	if !slices.ContainsFunc(r.Header["Cookie"], func(line string) bool { return strings.Contains(line, name) }) {
		return nil // most requests, and at no cost
	}
	for _, c := range r.CookiesNamed(name) {
		if len(found) <= maxValues && !slices.Contains(found, c.Value) {
			found = append(found, c.Value)
		}
	}
	return found
}

// deletion returns the Set-Cookie line that takes the cookie away. It repeats the
// attributes: browsers ignore the deletion of another path or domain, and that of a
// prefixed name without Secure.
func deletion(c *http.Cookie) string {
	gone := http.Cookie{
		Name: c.Name, Path: c.Path, Domain: c.Domain, Secure: c.Secure, HttpOnly: c.HttpOnly,
		SameSite: c.SameSite, Partitioned: c.Partitioned,
		MaxAge: -1, Expires: time.Unix(1, 0),
	}
	return gone.String()
}

// takes tells whether a browser that makes the request r would take a cookie with this
// SameSite from the answer. From a page of another site it takes none but of a
// navigation, unless it is SameSite=None (RFC 6265bis, section 5.7); the deletion of an
// old cookie without SameSite, or with None, it would take, and the user had neither.
// Clients that tell nothing of where a request comes from take everything.
func takes(r *http.Request, s http.SameSite) bool {
	return s == http.SameSiteNoneMode ||
		r.Header.Get("Sec-Fetch-Site") != "cross-site" ||
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
