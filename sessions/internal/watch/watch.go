// Package watch tells long responses when their sessions end.
//
// What happens in this process is told at once. What happens elsewhere is found by
// asking: a look is one question for all watched sessions together, and there is one
// every few seconds, however many streams there are. Between looks there is no
// goroutine, and without a watched session there is no look.
package watch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/revoked"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// Why a watched session has ended, beside [swap.ErrEnded] and [swap.ErrRevoked].
var (
	// ErrDeadline: its lifetime is over.
	ErrDeadline = fmt.Errorf("%w: its lifetime is over", swap.ErrEnded)

	// ErrIdle: it was not used for as long as it may be.
	ErrIdle = fmt.Errorf("%w: it was not used for its idle time", swap.ErrEnded)

	// ErrOwnerChanged: it is another user's now.
	ErrOwnerChanged = fmt.Errorf("%w: another user logged in with it", swap.ErrEnded)
)

// Config is what a Watcher needs.
type Config struct {
	// Load asks the server; nil where none keeps records. A Record without
	// Revision stands for none.
	Load func(context.Context, []stores.Key) ([]stores.Record, error)

	// List is the list of what has ended; nil where there is none.
	List *revoked.List

	// Every is the time between two looks.
	Every time.Duration

	// Patience is how long a session may be watched without an answer.
	Patience time.Duration

	// Failed is told of a look that failed.
	Failed func(context.Context, error)
}

// Session is what is known of a session that is to be watched.
type Session struct {
	Key      stores.Key
	Client   bool      // the server may not have it: the client holds its record
	Idle     bool      // it ends when it is not used, too
	Expires  time.Time // when it ends if it is not used; zero: not known
	Deadline time.Time // when it ends, whatever happens; zero: not known
	Epochs   []byte    // for the list of what has ended
}

// ends returns when the session is over without asking anybody, or zero where only the
// server knows: a use elsewhere may have moved the end on.
func (s *Session) ends() time.Time {
	if s.Client || !s.Idle || s.Expires.Equal(s.Deadline) {
		return s.Expires
	}
	return s.Deadline
}

// over returns why the session is over by now, or nil.
func (s *Session) over(now time.Time) error {
	switch {
	case s.Expires.IsZero() || now.Before(s.Expires):
		return nil
	case s.Idle && (s.Deadline.IsZero() || now.Before(s.Deadline)):
		return ErrIdle
	}
	return ErrDeadline
}

// Watcher is safe for concurrent use.
type Watcher struct {
	Config
	some atomic.Bool // something is watched: all that most commits ask

	mu      sync.Mutex
	watched map[stores.Key]*watched
	next    *time.Timer        // begins the next look
	due     bool               // a look will come, or is under way
	giveUp  context.CancelFunc // of the look under way
}

// watched is a session with its streams.
type watched struct {
	Session
	seen    time.Time // alive
	timer   *time.Timer
	streams map[*stream]struct{}
}

// stream is a context that ends with a session.
type stream struct {
	session *watched
	cancel  context.CancelCauseFunc
}

// New returns a watcher that watches nothing yet.
func New(c Config) *Watcher {
	return &Watcher{Config: c, watched: make(map[stores.Key]*watched)}
}

// Watch returns a copy of ctx that is cancelled when s ends. Nothing is left of it
// when ctx is done.
func (w *Watcher) Watch(ctx context.Context, s Session) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	st := &stream{cancel: cancel}
	w.mu.Lock()
	v := w.watched[s.Key]
	if v == nil {
		v = &watched{Session: s, seen: time.Now(), streams: make(map[*stream]struct{})}
		w.add(v)
	}
	st.session = v
	v.streams[st] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(ctx, func() { w.leave(st) })
	return ctx
}

// add needs w.mu.
func (w *Watcher) add(v *watched) {
	w.watched[v.Key] = v
	w.some.Store(true)
	w.setTimer(v)
	if !w.due && (w.Load != nil || w.List != nil) {
		w.due = true
		w.next = time.AfterFunc(w.Every, w.look)
	}
}

// leave ends the watch of one stream, whose context is done.
func (w *Watcher) leave(st *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := st.session
	delete(v.streams, st)
	if len(v.streams) == 0 && w.watched[v.Key] == v {
		w.remove(v)
	}
}

// remove needs w.mu.
func (w *Watcher) remove(v *watched) {
	delete(w.watched, v.Key)
	if v.timer != nil {
		v.timer.Stop()
	}
	if len(w.watched) > 0 {
		return
	}
	w.some.Store(false)
	if w.giveUp != nil {
		w.giveUp()
	}
	if w.due && w.next.Stop() {
		w.due = false // else the look that has begun finds nothing
	}
}

// end cancels all streams of v. It needs w.mu.
func (w *Watcher) end(v *watched, cause error) {
	w.remove(v)
	for st := range v.streams {
		st.cancel(cause) // runs nothing of others': what follows a context has goroutines of its own
	}
}

// setTimer lets v end by itself. It needs w.mu.
func (w *Watcher) setTimer(v *watched) {
	end := v.ends()
	switch {
	case end.IsZero():
		if v.timer != nil {
			v.timer.Stop()
		}
	case v.timer == nil:
		v.timer = time.AfterFunc(time.Until(end), func() { w.timeUp(v) })
	default:
		v.timer.Reset(time.Until(end))
	}
}

// timeUp ends a session whose time is over, unless it has got more meanwhile.
func (w *Watcher) timeUp(v *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[v.Key] != v {
		return
	}
	end := v.ends()
	if end.IsZero() {
		return
	}
	if time.Now().Before(end) { // moved on, or the clock was set back
		w.setTimer(v)
		return
	}
	w.end(v, v.over(end))
}

// Ended tells that a session has ended in this process.
func (w *Watcher) Ended(key stores.Key, cause error) {
	if !w.some.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.watched[key]; v != nil {
		w.end(v, cause)
	}
}

// Used tells what a commit of this process has made of a session's times.
func (w *Watcher) Used(s Session) {
	if !w.some.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.watched[s.Key]; v != nil {
		v.Session, v.seen = s, time.Now()
		w.setTimer(v)
	}
}

// Moved tells that a session has got another key in this process: s is what it is now.
func (w *Watcher) Moved(from stores.Key, s Session, ownerChanged bool) {
	if !w.some.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.watched[from]
	switch {
	case v == nil && w.watched[s.Key] != nil: // a look was faster, and knows less
		v = w.watched[s.Key]
		v.Session, v.seen = s, time.Now()
		w.setTimer(v)
	case v == nil:
	case ownerChanged:
		w.end(v, ErrOwnerChanged)
	default:
		w.move(v, s)
	}
}

// move gives v another key, under which there may be streams already. It needs w.mu.
func (w *Watcher) move(v *watched, s Session) {
	delete(w.watched, v.Key)
	v.Session, v.seen = s, time.Now()
	there := w.watched[s.Key]
	if there == nil {
		w.watched[s.Key] = v
		w.setTimer(v)
		return
	}
	if v.timer != nil {
		v.timer.Stop()
	}
	for st := range v.streams {
		st.session = there
		there.streams[st] = struct{}{}
	}
	v.streams = nil
}

// Watching returns how many sessions and streams are watched.
func (w *Watcher) Watching() (sessions, streams int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.watched {
		streams += len(v.streams)
	}
	return len(w.watched), streams
}
