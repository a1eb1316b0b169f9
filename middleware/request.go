package middleware

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bulla-go/bulla/sessions"
)

// request is the transport of one request's session: its cookie, and the headers of
// its response.
type request struct {
	sessions.Exchange
	m       *Middleware
	r       *http.Request // as it came
	handler *http.Request // as the handler gets it; under mu
	w       writer

	// through is set when the response has begun and may be written. Most calls
	// of Write come after the first one and need no more than this.
	through atomic.Bool
	mu      sync.Mutex // held while the response begins

	answering atomic.Bool // the error handler runs

	line string    // the Set-Cookie line that this request has added
	sent [1]string // where the cookie's value lies; there is hardly ever another
}

// Format keeps fmt from printing a cookie.
func (q *request) Format(f fmt.State, _ rune) { io.WriteString(f, "a request with its session") }

// Values implements [sessions.Transport].
func (q *request) Values() []string { return q.m.cookie.sent(q.r, q.sent[:0]) }

// Autoload implements [sessions.Transport].
func (q *request) Autoload() bool { return q.m.autoload.any() && q.m.autoload.matches(q.r) }

// Reply implements [sessions.Transport]: our Set-Cookie line at most once, and every
// other one as it is.
func (q *request) Reply(r sessions.Reply) {
	h := q.w.Header()
	if q.line != "" {
		rest := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return line == q.line })
		if h["Set-Cookie"] = rest; len(rest) == 0 {
			delete(h, "Set-Cookie")
		}
		q.line = ""
	}
	switch {
	case r.IsZero():
		return
	case r.Remove:
		q.line = q.m.cookie.remove()
	default:
		q.line = q.m.cookie.set(r)
	}
	h.Add("Set-Cookie", q.line)
}

// autoloads tells whether the session must be loaded before the handler runs.
func (q *request) autoloads() bool {
	return q.m.autoload.any() && len(q.Values()) > 0 && q.m.autoload.matches(q.r)
}

// begin commits the session before the first byte of the response. Where that
// fails, the error handler answers once, and the error is returned.
func (q *request) begin() error {
	if q.through.Load() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	first, err := q.Respond()
	switch {
	case !first:
	case err != nil:
		q.answer(err)
	case q.Loaded() != nil:
		q.limitCaching()
	}
	q.through.Store(err == nil)
	return err
}

// answer lets the error handler answer in the handler's place.
func (q *request) answer(err error) {
	h := q.w.Header()
	for name := range h {
		// What described the handler's body does not describe this one. A
		// Content-Security-Policy describes nothing, and protects this one too.
		if strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-Policy") || name == "Etag" || name == "Last-Modified" || name == "Location" {
			delete(h, name)
		}
	}
	h.Set("Cache-Control", "no-store")
	r := q.handler.WithContext(q.Fail(q.handler.Context(), err))
	q.answering.Store(true)
	q.m.onError(q.w.ResponseWriter, r, err)
	q.handler.MultipartForm = r.MultipartForm // the server removes its files
}
