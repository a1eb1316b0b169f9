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
)

const (
	// maxLineSize bounds the whole line, "Set-Cookie: " and the attributes with
	// it. Browsers ignore a cookie whose name and value have more bytes together
	// (RFC 6265bis, section 5.6), and front ends are reported to drop a longer
	// line, and every other Set-Cookie line with it.
	maxLineSize = 4096

	// Browsers ignore an attribute that is longer (section 5.6, too).
	maxAttributeSize = 1024

	// minRoom is what a value must have room for: an ID and a few small values.
	minRoom = 320
)

// cookie is our cookie but for its value.
type cookie struct {
	name   string
	attrs  string // "; Path=/; HttpOnly; …", the same for setting and removing
	room   int    // characters of a value for which its line has room
	sample http.Cookie
}

func newCookie(o *options) (cookie, error) {
	fail := func(format string, args ...any) (cookie, error) {
		return cookie{}, fmt.Errorf("%w: %s", sessions.ErrConfig, fmt.Sprintf(format, args...))
	}
	path := o.cookiePath
	if path == "" {
		path = "/"
	}
	name := o.cookieName
	if name == "" {
		name = defaultName(o, path)
	}
	sameSite := o.sameSite
	if sameSite == 0 {
		sameSite = http.SameSiteLaxMode
	}
	secure, host, httpOnly := prefixes(name)
	switch {
	case secure && o.insecureHTTP:
		return fail("WithCookieName(%q) has a prefix that needs Secure; leave WithInsecureHTTP out or choose a name without prefix", name)
	case host && o.cookieDomain != "":
		return fail("WithCookieName(%q) has a prefix that forbids WithCookieDomain; leave the domain out or choose another name", name)
	case host && path != "/":
		return fail("WithCookieName(%q) has a prefix that forbids WithCookiePath(%q); leave the path out or choose another name", name, path)
	case httpOnly && o.scriptAccess:
		return fail("WithCookieName(%q) has a prefix that needs HttpOnly; leave WithInsecureScriptAccess out or choose another name", name)
	case sameSite != http.SameSiteLaxMode && sameSite != http.SameSiteStrictMode && sameSite != http.SameSiteNoneMode:
		return fail("WithSameSite(%d) is not a mode that browsers know; use Lax, Strict or None", sameSite)
	case sameSite == http.SameSiteNoneMode && o.insecureHTTP:
		return fail("WithSameSite(None) needs Secure; leave WithInsecureHTTP out")
	case o.partitioned && o.insecureHTTP:
		return fail("WithPartitioned needs Secure; leave WithInsecureHTTP out")
	case o.partitioned && sameSite != http.SameSiteNoneMode:
		return fail("WithPartitioned is for a page inside of another site's, where a cookie with WithSameSite(Lax or Strict) is never sent; add WithSameSite(http.SameSiteNoneMode), or leave WithPartitioned out")
	case !strings.HasPrefix(path, "/"):
		return fail("WithCookiePath(%q) does not begin with a slash, so browsers would ignore it; add one", path)
	case len(path) > maxAttributeSize:
		return fail("WithCookiePath has %d bytes; browsers ignore more than %d, shorten it", len(path), maxAttributeSize)
	case len(o.cookieDomain) > maxAttributeSize:
		return fail("WithCookieDomain has %d bytes; browsers ignore more than %d, shorten it", len(o.cookieDomain), maxAttributeSize)
	}
	sample := &http.Cookie{
		Name: name, Value: "x", Path: path, Domain: o.cookieDomain, SameSite: sameSite,
		Secure: !o.insecureHTTP, HttpOnly: !o.scriptAccess, Partitioned: o.partitioned,
	}
	if err := sample.Valid(); err != nil {
		return fail("WithCookieName, WithCookiePath or WithCookieDomain: %v", err)
	}
	attrs := strings.TrimPrefix(sample.String(), name+"=x")
	room := maxLineSize - len("Set-Cookie: ") - len(name) - len("=") - len(attrs) - maxAgeSize
	if room < minRoom {
		return fail("WithCookieName, WithCookiePath and WithCookieDomain have %d bytes together, which leaves %d for the session; shorten them", len(name)+len(path)+len(o.cookieDomain), max(room, 0))
	}
	sample.Value = ""
	return cookie{name, attrs, room, *sample}, nil
}

// defaultName returns the name with the strongest prefix that the attributes
// allow. Browsers that do not know "__Host-Http-" still honour the "__Host-" in
// it; "__Http-" alone would be nothing to them, so with a path or domain
// "__Secure-" is the better one.
func defaultName(o *options, path string) string {
	switch {
	case o.insecureHTTP:
		return "session"
	case path != "/" || o.cookieDomain != "":
		return "__Secure-session"
	case o.scriptAccess:
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

// sent appends the values of our cookie in r to values, each once, and stops at one
// more than are looked at. Browsers send several when a sibling subdomain, or the same host under
// another path, has set the name too.
func (c cookie) sent(r *http.Request, values []string) []string {
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
			if values = append(values, value); len(values) > sessions.MaxValues {
				return values
			}
		}
	}
	return values
}

// maxAgeSize is the length of the longest Max-Age, 400 days.
const maxAgeSize = len("; Max-Age=34560000")

// set returns the line that gives the client what r says.
func (c cookie) set(r sessions.Reply) string {
	var line strings.Builder // in one piece, since a payload is large
	line.Grow(len(c.name) + 1 + r.Chars() + maxAgeSize + len(c.attrs))
	line.WriteString(c.name)
	line.WriteByte('=')
	r.WriteValue(&line)
	if r.MaxAge > 0 {
		line.WriteString("; Max-Age=")
		// Rounded up: the server's deadline is the one that counts.
		var digits [8]byte
		line.Write(strconv.AppendInt(digits[:0], int64((r.MaxAge+time.Second-1)/time.Second), 10))
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
