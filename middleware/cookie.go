package middleware

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const (
	// maxLineSize bounds the whole line, "Set-Cookie: " and the attributes with
	// it. Browsers ignore a cookie whose name and value have more bytes together
	// (RFC 6265bis, section 5.6), and front ends are reported to drop a longer
	// line, and every other Set-Cookie line with it.
	maxLineSize = 4096

	// Browsers ignore an attribute that is longer (section 5.6, too).
	maxAttributeSize = 1024

	// minRoom is what a payload must have room for: a few small values.
	minRoom = 256

	// maxCandidates bounds what a request with many cookies of our name can
	// cost.
	maxCandidates = 4
)

// cookie is our cookie but for its value.
type cookie struct {
	name  string
	attrs string // "; Path=/; HttpOnly; …", the same for setting and removing
	room  int    // characters of payload for which its line has room
}

func newCookie(c *config) (cookie, error) {
	fail := func(format string, args ...any) (cookie, error) {
		return cookie{}, fmt.Errorf("%w: %s", sessions.ErrConfig, fmt.Sprintf(format, args...))
	}
	path := c.cookiePath
	if path == "" {
		path = "/"
	}
	name := c.cookieName
	if name == "" {
		name = defaultName(c, path)
	}
	sameSite := c.sameSite
	if sameSite == 0 {
		sameSite = http.SameSiteLaxMode
	}
	secure, host, httpOnly := prefixes(name)
	switch {
	case secure && c.insecureHTTP:
		return fail("WithCookieName(%q) has a prefix that needs Secure; leave WithInsecureHTTP out or choose a name without prefix", name)
	case host && c.cookieDomain != "":
		return fail("WithCookieName(%q) has a prefix that forbids WithCookieDomain; leave the domain out or choose another name", name)
	case host && path != "/":
		return fail("WithCookieName(%q) has a prefix that forbids WithCookiePath(%q); leave the path out or choose another name", name, path)
	case httpOnly && c.scriptAccess:
		return fail("WithCookieName(%q) has a prefix that needs HttpOnly; leave WithInsecureScriptAccess out or choose another name", name)
	case sameSite != http.SameSiteLaxMode && sameSite != http.SameSiteStrictMode && sameSite != http.SameSiteNoneMode:
		return fail("WithSameSite(%d) is not a mode that browsers know; use Lax, Strict or None", sameSite)
	case sameSite == http.SameSiteNoneMode && c.insecureHTTP:
		return fail("WithSameSite(None) needs Secure; leave WithInsecureHTTP out")
	case c.partitioned && c.insecureHTTP:
		return fail("WithPartitioned needs Secure; leave WithInsecureHTTP out")
	case !strings.HasPrefix(path, "/"):
		return fail("WithCookiePath(%q) does not begin with a slash, so browsers would ignore it; add one", path)
	case len(path) > maxAttributeSize:
		return fail("WithCookiePath has %d bytes; browsers ignore more than %d, shorten it", len(path), maxAttributeSize)
	case len(c.cookieDomain) > maxAttributeSize:
		return fail("WithCookieDomain has %d bytes; browsers ignore more than %d, shorten it", len(c.cookieDomain), maxAttributeSize)
	}
	sample := &http.Cookie{
		Name: name, Value: "x", Path: path, Domain: c.cookieDomain, SameSite: sameSite,
		Secure: !c.insecureHTTP, HttpOnly: !c.scriptAccess, Partitioned: c.partitioned,
	}
	if err := sample.Valid(); err != nil {
		return fail("WithCookieName, WithCookiePath or WithCookieDomain: %v", err)
	}
	attrs := strings.TrimPrefix(sample.String(), name+"=x")
	room := maxLineSize - len("Set-Cookie: ") - len(name) - len("=") - stores.HeadChars(c.signed) - len(attrs)
	if c.sessions.Lifetime > 0 {
		room -= maxAgeSize
	}
	if room < minRoom {
		return fail("WithCookieName, WithCookiePath and WithCookieDomain have %d bytes together, which leaves %d for the session; shorten them", len(name)+len(path)+len(c.cookieDomain), max(room, 0))
	}
	return cookie{name, attrs, room}, nil
}

// defaultName returns the name with the strongest prefix that the attributes
// allow. Browsers that do not know "__Host-Http-" still honour the "__Host-" in
// it; "__Http-" alone would be nothing to them, so with a path or domain
// "__Secure-" is the better one.
func defaultName(c *config, path string) string {
	switch {
	case c.insecureHTTP:
		return "session"
	case path != "/" || c.cookieDomain != "":
		return "__Secure-session"
	case c.scriptAccess:
		return "__Host-session"
	}
	return "__Host-Http-session"
}

// prefixes tells what browsers demand of a cookie with this name before they
// take it (draft-ietf-httpbis-rfc6265bis, section 4.1.3): Secure; no Domain and
// the path "/"; HttpOnly. They compare without regard to case.
func prefixes(name string) (secure, host, httpOnly bool) {
	has := func(prefix string) bool {
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	}
	host = has("__Host-") // also of "__Host-Http-"
	httpOnly = has("__Http-") || has("__Host-Http-")
	return host || httpOnly || has("__Secure-"), host, httpOnly
}

// sent returns the values of our cookie in r, each once, and no more than one
// over maxCandidates. Browsers send several when a sibling subdomain, or the same
// host under another path, has set the name too. The array keeps them off the
// heap.
func (c cookie) sent(r *http.Request, array *[maxCandidates + 1]string) []string {
	values := array[:0]
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(textproto.TrimString(part), "=")
			if name != c.name || slices.Contains(values, value) {
				continue
			}
			// A header has room for tens of thousands, and each is compared
			// with all before it.
			if values = append(values, value); len(values) == len(array) {
				return values
			}
		}
	}
	return values
}

// maxAgeSize is the length of the longest Max-Age, 400 days.
const maxAgeSize = len("; Max-Age=34560000")

// set returns the line that gives the client tok, with the ID's MAC where there
// is one.
func (c cookie) set(tok stores.Token, mac []byte, maxAge time.Duration) string {
	var line strings.Builder // in one piece, since a payload is large
	line.Grow(len(c.name) + 1 + stores.HeadChars(len(mac) > 0) + len(tok.Payload) + maxAgeSize + len(c.attrs))
	line.WriteString(c.name)
	line.WriteByte('=')
	tok.WriteValue(&line, mac)
	if maxAge > 0 {
		line.WriteString("; Max-Age=")
		// Rounded up: the server's deadline is the one that counts.
		var digits [8]byte
		line.Write(strconv.AppendInt(digits[:0], int64((maxAge+time.Second-1)/time.Second), 10))
	}
	line.WriteString(c.attrs)
	return line.String()
}

// remove returns the line that takes the cookie away. It repeats the attributes:
// browsers ignore a deletion of another path or domain, and a prefixed one
// without Secure.
func (c cookie) remove() string {
	return c.name + "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT" + c.attrs
}
