package middleware

import (
	"net/http"
	"strings"
	"time"
)

// limitCaching keeps shared caches from giving one user's page to another. What
// the handler chose stays.
func (q *request) limitCaching() {
	h := q.w.Header()
	// One allocation for both headers; each slice is full, so that appending to
	// one can't reach the other.
	added := [...]string{"Cookie", "private"}
	if q.line != "" {
		added[1] = "no-store"
	}
	if q.line != "" {
		q.warnOfPlainHTTP()
	}
	if vary := h["Vary"]; len(vary) == 0 {
		h["Vary"] = added[0:1:1]
	} else if !varies(h) {
		h.Add("Vary", "Cookie")
	}
	if q.line != "" && q.m.logger != nil && cacheable(h) {
		q.m.logger.WarnContext(q.r.Context(), "a response with the session's Set-Cookie is marked for shared caches, by Cache-Control or Expires; they may hand the session to others",
			"path", q.r.URL.Path)
	}
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = added[1:2:2]
	}
}

// cacheable tells whether the handler's headers let a shared cache keep the
// response: a Set-Cookie does not forbid it (RFC 9111, section 7.3).
func cacheable(h http.Header) bool {
	public := false
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, seconds, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "no-store", "private":
				if seconds == "" { // else of some headers only
					return false
				}
			case "public":
				public = true
			case "max-age", "s-maxage":
				public = public || strings.Trim(seconds, `"0`) != ""
			}
		}
	}
	if expires := h.Get("Expires"); !public && expires != "" {
		// "0" and every other text that is no time stand for the past.
		at, err := http.ParseTime(expires)
		return err == nil && at.After(time.Now())
	}
	return public
}

func varies(h http.Header) bool {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, "Cookie") {
				return true
			}
		}
	}
	return false
}
