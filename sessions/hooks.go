package sessions

import (
	"context"
	"log/slog"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Event is what a hook is told. It carries nothing secret.
type Event struct {
	Key      stores.Key    // hash of the session's ID; zero where the token had none
	Store    string        // the store's name
	Took     time.Duration // time spent in the store and the encryptor
	Attempts int           // of a save or regeneration: 1 where nothing came between
	Reason   Reason        // of a rejection
	Err      error         // of a failure or a rejection; may be nil for the latter

	// Size is how many characters a session that was written takes in its cookie, and
	// Room how many there are: a session that takes more is refused. Both are 0 where
	// the record is on a server.
	Size, Room int
}

// Hooks are functions that are called as things happen to sessions, in the
// manner of net/http/httptrace.ClientTrace. Any of them may be nil. They run on
// the request's goroutine, so they must be quick, and several run at once. The
// context has what the request's has. As the request is in the middle of a load
// or a commit, [Load] and [FromContext] answer at once there: with the session,
// or with [ErrNotLoaded]. A hook can read the session, and must not change it;
// [Commit] is an error. The same holds for the logger's handler.
type Hooks struct {
	Loaded      func(context.Context, Event) // a live session was read
	Created     func(context.Context, Event) // a new session was written
	Saved       func(context.Context, Event) // changes were written
	Touched     func(context.Context, Event) // the expiry moved on, nothing else
	Conflict    func(context.Context, Event) // another write came first; Attempts so far
	Regenerated func(context.Context, Event) // the session has a new ID; Key is the new one
	Destroyed   func(context.Context, Event) // the session was ended by its own request
	Revoked     func(context.Context, Event) // it was ended by Manager.Revoke and its like, or by a newer login beyond its owner's limit
	Ended       func(context.Context, Event) // it was ended elsewhere; this request wrote nothing
	Rejected    func(context.Context, Event) // the client's token was not accepted
	LateChange  func(context.Context, Event) // a change after the response began was discarded
	Refused     func(context.Context, Event) // a limit kept it from being written: its size, or its owner's sessions
	StoreError  func(context.Context, Event) // the store failed, or a record does not open
}

// any tells whether there is a hook.
func (h *Hooks) any() bool {
	for _, k := range []kind{evLoaded, evCreated, evSaved, evTouched, evConflict, evRegenerated, evDestroyed, evRevoked, evEnded, evRejected, evLateChange, evRefused, evStoreError} {
		if k.hook(h) != nil {
			return true
		}
	}
	return false
}

// kind couples a hook with how it is logged.
type kind struct {
	hook  func(*Hooks) func(context.Context, Event)
	level slog.Level
	text  string
}

var (
	evLoaded      = kind{func(h *Hooks) func(context.Context, Event) { return h.Loaded }, slog.LevelDebug, "session loaded"}
	evCreated     = kind{func(h *Hooks) func(context.Context, Event) { return h.Created }, slog.LevelDebug, "session created"}
	evSaved       = kind{func(h *Hooks) func(context.Context, Event) { return h.Saved }, slog.LevelDebug, "session saved"}
	evTouched     = kind{func(h *Hooks) func(context.Context, Event) { return h.Touched }, slog.LevelDebug, "session touched"}
	evConflict    = kind{func(h *Hooks) func(context.Context, Event) { return h.Conflict }, slog.LevelDebug, "session changed by another request; replaying"}
	evRegenerated = kind{func(h *Hooks) func(context.Context, Event) { return h.Regenerated }, slog.LevelDebug, "session has a new ID"}
	evDestroyed   = kind{func(h *Hooks) func(context.Context, Event) { return h.Destroyed }, slog.LevelDebug, "session destroyed"}
	evRevoked     = kind{func(h *Hooks) func(context.Context, Event) { return h.Revoked }, slog.LevelInfo, "session revoked"}
	evOutdone     = kind{func(h *Hooks) func(context.Context, Event) { return h.Revoked }, slog.LevelInfo, "session ended by a newer login of its owner, who has as many as are allowed"}
	evEnded       = kind{func(h *Hooks) func(context.Context, Event) { return h.Ended }, slog.LevelInfo, "session was ended elsewhere; nothing written"}
	evRejected    = kind{func(h *Hooks) func(context.Context, Event) { return h.Rejected }, slog.LevelInfo, "session token rejected"}
	evUnknownKey  = kind{func(h *Hooks) func(context.Context, Event) { return h.Rejected }, slog.LevelWarn, "session token rejected: it names a key that is not in the ring; was the key removed too early, or added too late?"}
	evLateChange  = kind{func(h *Hooks) func(context.Context, Event) { return h.LateChange }, slog.LevelWarn, "session change after the response began was discarded"}
	evRefused     = kind{func(h *Hooks) func(context.Context, Event) { return h.Refused }, slog.LevelWarn, "session is over a limit; nothing written"}
	evNearlyFull  = kind{func(*Hooks) func(context.Context, Event) { return nil }, slog.LevelWarn, "a session takes most of its cookie, and none that takes more can be written; keep less in it, or keep it on a server. This is said once an hour at most"}
	evStoreError  = kind{func(h *Hooks) func(context.Context, Event) { return h.StoreError }, slog.LevelError, "session store failed"}

	// A client that goes away is nobody's failure.
	evGaveUp = kind{func(h *Hooks) func(context.Context, Event) { return h.StoreError }, slog.LevelInfo, "the request was cancelled before its session was loaded"}
)

// clock starts the measurement of an event's Took. It is zero where nobody would
// be told, since asking the time costs as much as a small session's lookup.
func (m *Manager) clock() time.Time {
	if !m.observed {
		return time.Time{}
	}
	return time.Now()
}

// emit tells the hook and the log. It costs nothing where neither listens.
func (m *Manager) emit(ctx context.Context, k kind, key stores.Key, started time.Time, ev Event) {
	if !m.observed {
		return
	}
	hook := k.hook(&m.hooks)
	logs := m.logger != nil && m.logger.Enabled(ctx, k.level)
	if hook == nil && !logs {
		return
	}
	ev.Store, ev.Key = m.place.Name, key
	if !started.IsZero() {
		ev.Took = time.Since(started)
	}
	if hook != nil {
		hook(ctx, ev)
	}
	if !logs {
		return
	}
	attrs := make([]slog.Attr, 0, 6)
	if !ev.Key.IsZero() {
		attrs = append(attrs, slog.String("session", ev.Key.String()))
	}
	attrs = append(attrs, slog.String("store", ev.Store))
	if ev.Attempts > 1 {
		attrs = append(attrs, slog.Int("attempts", ev.Attempts))
	}
	if ev.Room > 0 {
		attrs = append(attrs, slog.Int("size", ev.Size), slog.Int("room", ev.Room))
	}
	if ev.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(ev.Reason)))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.Any("err", ev.Err))
	}
	m.logger.LogAttrs(ctx, k.level, k.text, attrs...)
}
