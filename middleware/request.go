package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// request is one request's session: it carries it through the context, and
// commits it when the response begins.
type request struct {
	m       *Middleware
	r       *http.Request // as it came
	handler *http.Request // as the handler gets it
	w       writer

	carrier carrier
	ctx     sessions.Context // of the handler's request
	inside  inside           // of r's context

	// session is nil until it is loaded. It is read without mu, so that one
	// goroutine's commit does not hold up the others' look at the session.
	session atomic.Pointer[sessions.Session]

	// through is set when the response has begun and may be written. Most calls
	// of Write come after the first one and need no more than this.
	through atomic.Bool

	mu      sync.Mutex
	loadErr error  // the store is asked once, unless the caller gave up
	resign  bool   // the ID's MAC is under a retired key
	line    string // the Set-Cookie line that this request has added
	begun   bool   // the response has begun; its headers may be on their way
	failed  error  // the commit failed: the error handler has answered
}

// load is [sessions.Load].
func (q *request) load(ctx context.Context) (*sessions.Session, error) {
	if s := q.session.Load(); s != nil {
		return s, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.session.Load(); s != nil || q.loadErr != nil {
		return s, q.loadErr
	}
	ctx = q.insideOf(ctx)
	s, err := q.find(ctx)
	if err != nil {
		if !gaveUp(ctx, err) {
			q.loadErr = err
		}
		return nil, err
	}
	if q.begun {
		// Too late for a cookie, and the session must know.
		q.m.manager.Commit(ctx, s, sessions.AfterResponse)
	}
	q.session.Store(s)
	return s, nil
}

// gaveUp tells whether err says no more than that ctx has ended, which may be
// the deadline of one caller.
func gaveUp(ctx context.Context, err error) bool {
	if errors.Is(err, stores.ErrUnavailable) {
		return ctx.Err() != nil
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// insideOf returns the context for what runs under q.mu, in place of ctx.
func (q *request) insideOf(ctx context.Context) *inside {
	if ctx == &q.ctx {
		return &q.inside // as nearly always, and without an allocation
	}
	return new(inside).within(ctx, &q.carrier)
}

// loaded is [sessions.FromContext]; nil where that fails.
func (q *request) loaded() *sessions.Session {
	if s := q.session.Load(); s != nil {
		return s
	}
	// Autoload passes by a request without our cookie; its session is new, and
	// making it costs nothing.
	if q.m.autoload.any() && !q.hasCookie() && q.m.autoload.matches(q.r) {
		s, _ := q.load(&q.ctx)
		return s
	}
	return nil
}

func (q *request) hasCookie() bool {
	var array [maxCandidates + 1]string
	return len(q.m.cookie.sent(q.r, &array)) > 0
}

// autoloads tells whether the session must be loaded before the handler runs.
func (q *request) autoloads() bool {
	return q.m.autoload.any() && q.hasCookie() && q.m.autoload.matches(q.r)
}

// find returns the session that the request's cookies name, or a new one.
func (q *request) find(ctx context.Context) (*sessions.Session, error) {
	var array [maxCandidates + 1]string
	values := q.m.cookie.sent(q.r, &array)
	if len(values) > maxCandidates {
		q.m.manager.Reject(ctx, stores.Token{}, sessions.Ambiguous, nil)
		return q.m.manager.New(), nil
	}
	var found *sessions.Session
	var unreadable error
	for _, value := range values {
		s, err := q.open(ctx, value)
		switch {
		case errors.Is(err, sessions.ErrUnreadable):
			// Perhaps planted by a sibling subdomain; the user's own may open.
			unreadable = err
		case err != nil:
			return nil, err
		case s == nil:
			continue
		case found == nil:
			found = s
		case !found.ID().Equal(s.ID()):
			// Which of the two the user meant nobody knows, and one may
			// have been planted by a sibling subdomain.
			q.m.manager.Reject(ctx, stores.Token{ID: found.ID()}, sessions.Ambiguous, nil)
			q.m.manager.Reject(ctx, stores.Token{ID: s.ID()}, sessions.Ambiguous, nil)
			q.resign = false
			return q.m.manager.New(), nil
		case s.Metadata().Generation > found.Metadata().Generation:
			found = s // an older and a newer copy of one session
		}
	}
	switch {
	case found != nil:
		return found, nil
	case unreadable != nil:
		return nil, unreadable
	}
	return q.m.manager.New(), nil
}

// open returns the session that one cookie's value names, or nil where it names
// none.
func (q *request) open(ctx context.Context, value string) (*sessions.Session, error) {
	tok, mac, err := stores.ParseToken(value)
	if err != nil {
		q.m.manager.Reject(ctx, tok, sessions.Malformed, err)
		return nil, nil
	}
	retired := false
	if q.m.signer != nil {
		var ok bool
		if ok, retired = q.m.signer.verify(tok.ID, mac); !ok {
			q.m.manager.Reject(ctx, tok, sessions.Forged, nil)
			return nil, nil
		}
	}
	s, err := q.m.manager.Load(ctx, tok)
	if err != nil {
		if _, rejected := errors.AsType[*sessions.RejectedError](err); rejected {
			err = nil
		}
		return nil, err
	}
	q.resign = q.resign || retired
	return s, nil
}

// commit is [sessions.Commit].
func (q *request) commit(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	ctx = q.insideOf(ctx)
	s := q.session.Load()
	switch {
	case s == nil:
		return q.loadErr
	case q.failed != nil:
		return q.failed
	case q.begun:
		_, err := q.m.manager.Commit(ctx, s, sessions.AfterResponse)
		return err
	}
	change, err := q.m.manager.Commit(ctx, s, sessions.Midway)
	q.apply(change)
	return err
}

// begin commits the session before the first byte of the response. Where that
// fails, the error handler has answered, and the error is returned.
func (q *request) begin() error {
	if q.through.Load() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.begun {
		q.begun = true
		q.failed = q.conclude()
		q.through.Store(q.failed == nil)
	}
	return q.failed
}

// conclude writes the session and puts what the client must know into the
// headers. It needs q.mu.
func (q *request) conclude() error {
	s := q.session.Load()
	if s == nil {
		return nil
	}
	change, err := q.m.manager.Commit(&q.inside, s, sessions.BeforeResponse)
	q.apply(change)
	switch {
	case errors.Is(err, sessions.ErrEnded):
		// A line of an earlier Commit would put a dead token over a newer
		// login's.
		q.retract()
	case err != nil:
		q.answer(err)
		return err
	}
	if q.resign && change.Action == sessions.Keep {
		if again, ok := q.m.manager.Token(s); ok {
			q.apply(again)
		}
	}
	q.limitCaching()
	return nil
}

// finish ends the request: it commits a response that was not begun, or what the
// handler changed after it began.
func (q *request) finish() {
	if q.begin() != nil {
		return // the error handler has answered
	}
	if s := q.session.Load(); s != nil {
		// What fails or comes too late has been told to hooks and log; the
		// client has its answer already.
		q.m.manager.Commit(&q.inside, s, sessions.AfterResponse)
	}
}

// fail answers with the error handler, before the handler has run.
func (q *request) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun = true
	q.answer(err)
}

// answer lets the error handler answer in the handler's place. It needs q.mu.
func (q *request) answer(err error) {
	q.failed = err
	h := q.w.Header()
	for name := range h {
		// What described the handler's body does not describe this one. A
		// Content-Security-Policy describes nothing, and protects this one too.
		if strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-Policy") || name == "Etag" || name == "Last-Modified" || name == "Location" {
			delete(h, name)
		}
	}
	h.Set("Cache-Control", "no-store")
	ctx := new(inside).within(q.r.Context(), &q.carrier)
	ctx.err = err
	r := q.handler.WithContext(ctx)
	q.m.onError(q.w.ResponseWriter, r, err)
	q.handler.MultipartForm = r.MultipartForm // the server removes its files
}

// apply puts a commit's change into the headers: our Set-Cookie line at most
// once, and every other one as it is. It needs q.mu.
func (q *request) apply(change sessions.Change) {
	if change.Action == sessions.Keep {
		return
	}
	q.retract()
	if change.Action == sessions.Remove {
		q.line = q.m.cookie.remove()
	} else {
		var mac []byte
		if q.m.signer != nil {
			mac = q.m.signer.sign(change.Token.ID)
		}
		q.line = q.m.cookie.set(change.Token, mac, change.MaxAge)
	}
	q.w.Header().Add("Set-Cookie", q.line)
}

// retract takes our Set-Cookie line back, where there is one. It needs q.mu.
func (q *request) retract() {
	if q.line == "" {
		return
	}
	h := q.w.Header()
	rest := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return line == q.line })
	if h["Set-Cookie"] = rest; len(rest) == 0 {
		delete(h, "Set-Cookie")
	}
	q.line = ""
}
