package sessions_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// journal is what an operator gets to see: a line for each record of the log, and
// the hooks' names.
type journal struct {
	mu    sync.Mutex
	lines []string
	heard []string
}

func (*journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j *journal) WithGroup(string) slog.Handler          { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.Key + "=" + a.Value.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return nil
}

func (j *journal) hook(name string) func(context.Context, sessions.Event) {
	return func(_ context.Context, ev sessions.Event) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.heard = append(j.heard, fmt.Sprintf("%s %s %s %d %s %v", name, ev.Key, ev.Store, ev.Attempts, ev.Reason, ev.Err))
	}
}

func (j *journal) config(c sessions.Config) sessions.Config {
	c.Logger = slog.New(j)
	c.Hooks = sessions.Hooks{
		Loaded: j.hook("Loaded"), Created: j.hook("Created"), Saved: j.hook("Saved"), Touched: j.hook("Touched"),
		Conflict: j.hook("Conflict"), Regenerated: j.hook("Regenerated"), Destroyed: j.hook("Destroyed"), Revoked: j.hook("Revoked"), Ended: j.hook("Ended"),
		Rejected: j.hook("Rejected"), LateChange: j.hook("LateChange"), Refused: j.hook("Refused"), StoreError: j.hook("StoreError"),
	}
	return c
}

func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines, j.heard = nil, nil
}

// texts are the level and text of each hook's line.
var texts = map[string]string{
	"Loaded":      "DEBUG session loaded",
	"Created":     "DEBUG session created",
	"Saved":       "DEBUG session saved",
	"Touched":     "DEBUG session touched",
	"Conflict":    "DEBUG session changed by another request; replaying",
	"Regenerated": "DEBUG session has a new ID",
	"Destroyed":   "DEBUG session destroyed",
	"Revoked":     "INFO session revoked",
	"Ended":       "INFO session was ended elsewhere; nothing written",
	"Rejected":    "INFO session token rejected",
	"LateChange":  "WARN session change after the response began was discarded",
	"Refused":     "WARN session is over a limit; nothing written",
	"StoreError":  "ERROR session store failed",
}

// happening is what must be told: the hook's name, of which session, and the rest
// of its event.
type happening struct {
	hook     string
	id       sessions.ID // zero: none
	attempts int
	reason   sessions.Reason
	err      string
	text     string // of the line, where it is not the hook's
}

// requireTold checks every hook and every line, whole.
func (j *journal) requireTold(t *testing.T, want ...happening) {
	t.Helper()
	var lines, heard []string
	for _, h := range want {
		var key stores.Key
		line := cmp.Or(h.text, texts[h.hook])
		if !h.id.IsZero() {
			key = h.id.Key()
			line += " session=" + key.String()
		}
		line += " store=memory"
		if h.attempts > 1 {
			line += fmt.Sprintf(" attempts=%d", h.attempts)
		}
		if h.reason != "" {
			line += " reason=" + string(h.reason)
		}
		err := "<nil>"
		if h.err != "" {
			err = h.err
			line += " err=" + err
		}
		lines = append(lines, line)
		heard = append(heard, fmt.Sprintf("%s %s memory %d %s %s", h.hook, key, h.attempts, h.reason, err))
	}
	require.Equal(t, strings.Join(lines, "\n"), strings.Join(j.lines, "\n"))
	require.Equal(t, strings.Join(heard, "\n"), strings.Join(j.heard, "\n"))
	j.forget()
}

const outage = "stores: the store is unavailable\nconnection refused"

// Everything that happens is told to its hook, and to the log at its level, once.
func TestWhatIsTold(t *testing.T) {
	tell := func(name string, f func(*testing.T)) { // in a bubble, where an outage takes no time
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	start := func(t *testing.T, c sessions.Config) (*journal, *store, *sessions.Manager, token.Token) {
		j := new(journal)
		st, m := setup(t, j.config(c))
		tok := begin(t, m)
		j.requireTold(t, happening{hook: "Created", id: tok.ID, attempts: 1})
		return j, st, m, tok
	}
	loaded := func(t *testing.T, j *journal, m *sessions.Manager, tok token.Token) *sessions.Session {
		s := load(t, m, tok)
		j.requireTold(t, happening{hook: "Loaded", id: tok.ID})
		return s
	}
	midway := func(t *testing.T, m *sessions.Manager, s *sessions.Session) error {
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		return err
	}

	owners := []encrypt.Key{encrypt.GenerateKey()}

	tell("save", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		s, other := loaded(t, j, m, tok), loaded(t, j, m, tok)
		increment(t, s)
		commit(t, m, s)
		j.requireTold(t, happening{hook: "Saved", id: tok.ID, attempts: 1})
		increment(t, other)
		commit(t, m, other)
		j.requireTold(t, happening{hook: "Conflict", id: tok.ID, attempts: 1}, happening{hook: "Saved", id: tok.ID, attempts: 2})

		s = loaded(t, j, m, tok)
		increment(t, s)
		st.before = down(errOutage, "save")
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage})
		require.Error(t, midway(t, m, s))
		j.requireTold(t) // told already
	})
	tell("save, and the replay fails", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		s, other := loaded(t, j, m, tok), loaded(t, j, m, tok)
		increment(t, s)
		commit(t, m, s)
		increment(t, other)
		j.forget()
		st.before = down(errOutage, "load")
		require.Error(t, midway(t, m, other))
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage})
	})
	tell("over a limit", func(t *testing.T) {
		tooLarge := func() error { return fmt.Errorf("%w: 5 bytes over", stores.ErrTooLarge) }
		const text = "stores: the session is too large: 5 bytes over"
		j, st, m, tok := start(t, sessions.Config{})
		s := loaded(t, j, m, tok)
		increment(t, s)
		st.before = on("save", 1, tooLarge)
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "Refused", id: tok.ID, err: text})
		require.Error(t, midway(t, m, s))
		j.requireTold(t)

		s = m.New()
		increment(t, s)
		id := s.ID()
		st.before = on("save", 1, tooLarge)
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "Refused", id: id, err: text})
	})
	tell("an owner's limit", func(t *testing.T) {
		j, _, m, _ := start(t, sessions.Config{Owners: owners, MaxSessionsPerOwner: 1})
		first, second := m.New(), m.New()
		for _, s := range []*sessions.Session{first, second} {
			require.NoError(t, s.SetOwner(t.Context(), "ada"))
			require.NoError(t, name.Set(s, "Ada"))
		}
		require.NoError(t, midway(t, m, first))
		j.forget()
		id := second.ID()
		require.ErrorIs(t, midway(t, m, second), sessions.ErrTooManySessions)
		j.requireTold(t, happening{hook: "Refused", id: id, err: "sessions: the owner has too many sessions: 1 are allowed"})
	})
	tell("create", func(t *testing.T) {
		j, st, m, _ := start(t, sessions.Config{})
		s := m.New()
		increment(t, s)
		id := s.ID()
		st.before = down(errOutage, "save")
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "StoreError", id: id, err: outage})
	})
	tell("regenerate", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		s := loaded(t, j, m, tok)
		require.NoError(t, s.Regenerate())
		id := commit(t, m, s).Token.ID
		j.requireTold(t, happening{hook: "Regenerated", id: id, attempts: 1})

		s = loaded(t, j, m, token.Token{ID: id})
		require.NoError(t, s.Regenerate())
		next := s.ID()
		st.before = down(errOutage, "move")
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "StoreError", id: next, err: outage})
	})
	tell("regenerate, and the cleaning up fails", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		s := loaded(t, j, m, tok)
		require.NoError(t, s.Regenerate())
		next := s.ID()
		st.before = down(errOutage, "move", "put")
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "StoreError", id: next, err: outage}, happening{hook: "StoreError", id: next, err: outage})
	})
	tell("regenerate, and the old entry stays in its owner's list", func(t *testing.T) {
		j := new(journal)
		st, m := setup(t, j.config(sessions.Config{Owners: owners}))
		s := m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ada"))
		tok := commit(t, m, s).Token
		s = load(t, m, tok)
		require.NoError(t, s.Regenerate())
		j.forget()
		st.before = down(errOutage, "remove")
		id := commit(t, m, s).Token.ID
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage}, happening{hook: "Regenerated", id: id, attempts: 1})
	})
	tell("destroy", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		s := loaded(t, j, m, tok)
		s.Destroy()
		st.before = down(errOutage, "end")
		require.Error(t, midway(t, m, s))
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage})
		st.before = nil
		commit(t, m, s)
		j.requireTold(t, happening{hook: "Destroyed", id: tok.ID})
	})
	tell("ended elsewhere", func(t *testing.T) {
		for what, change := range map[string]func(*sessions.Session){
			"save":       func(s *sessions.Session) { increment(t, s) },
			"regenerate": func(s *sessions.Session) { require.NoError(t, s.Regenerate()) },
		} {
			j, st, m, tok := start(t, sessions.Config{})
			s := loaded(t, j, m, tok)
			change(s)
			st.end(t, tok.ID.Key())
			for range 2 {
				require.ErrorIs(t, midway(t, m, s), sessions.ErrEnded, what)
			}
			j.requireTold(t, happening{hook: "Ended", id: tok.ID, err: sessions.ErrEnded.Error()})
		}
	})
	tell("late change", func(t *testing.T) {
		j := new(journal)
		_, m := setup(t, j.config(sessions.Config{}))
		s := m.New()
		commit(t, m, s)
		require.ErrorIs(t, count.Set(s, 1), sessions.ErrTooLate)
		for range 2 {
			m.Commit(t.Context(), s, sessions.AfterResponse)
		}
		j.requireTold(t, happening{hook: "LateChange"})
	})
	tell("touch", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{Rolling: time.Hour})
		time.Sleep(10 * time.Minute)
		s := loaded(t, j, m, tok)
		commit(t, m, s)
		j.requireTold(t, happening{hook: "Touched", id: tok.ID, attempts: 1})

		// It is best effort; another request's write is as good.
		time.Sleep(10 * time.Minute)
		for _, tt := range []struct {
			err  error
			told []happening
		}{
			{errOutage, []happening{{hook: "StoreError", id: tok.ID, err: outage}}},
			{errForeign, []happening{{hook: "StoreError", id: tok.ID, err: errForeign.Error()}}},
			{stores.ErrTooLarge, []happening{{hook: "Refused", id: tok.ID, err: stores.ErrTooLarge.Error()}}},
			{stores.ErrConflict, nil},
		} {
			s := loaded(t, j, m, tok)
			st.before = on("touch", 1, func() error { return tt.err })
			require.Equal(t, sessions.Change{}, commit(t, m, s))
			j.requireTold(t, tt.told...)
		}
	})
	tell("load", func(t *testing.T) {
		j, st, m, tok := start(t, sessions.Config{})
		fail := func(tok token.Token, err error) {
			_, got := m.Load(t.Context(), tok)
			require.ErrorIs(t, got, err)
		}
		st.before = on("load", 1, func() error { return errOutage })
		fail(tok, stores.ErrUnavailable)
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage})

		unknown := token.Token{ID: token.NewID()}
		_, err := m.Load(t.Context(), unknown)
		require.Error(t, err)
		j.requireTold(t, happening{hook: "Rejected", id: unknown.ID, reason: sessions.Unknown})

		exchanged(t, m, "no token")
		j.requireTold(t, happening{hook: "Rejected", reason: sessions.Malformed, err: "stores: malformed payload: the ID has neither 32 nor 54 characters"})

		st.end(t, tok.ID.Key())
		requireRejected(t, m, tok, sessions.Ended)
		j.requireTold(t, happening{hook: "Rejected", id: tok.ID, reason: sessions.Ended})
		tok = begin(t, m)
		s := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		moved := commit(t, m, s).Token
		j.forget()
		requireRejected(t, m, tok, sessions.Replaced)
		j.requireTold(t, happening{hook: "Rejected", id: tok.ID, reason: sessions.Replaced})
		tok = moved

		overwrite(t, st, tok, []byte("garbled"))
		_, err = m.Load(t.Context(), tok)
		require.ErrorIs(t, err, sessions.ErrUnreadable)
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: err.Error()})
	})
	tell("a key that is not in the ring", func(t *testing.T) {
		tok := begin(t, newManager(t, clientStore{}, sessions.Config{}))
		j := new(journal)
		memoryNamed := placed{Name: "memory", Cookie: clientStore{}} // as the journal expects
		_, err := newManager(t, memoryNamed, j.config(sessions.Config{})).Load(t.Context(), tok)
		rejected, ok := errors.AsType[*sessions.RejectedError](err)
		require.True(t, ok)
		j.requireTold(t, happening{hook: "Rejected", id: tok.ID, reason: sessions.Tampered, err: rejected.Err.Error(),
			text: "WARN session token rejected: it names a key that is not in the ring; was the key removed too early, or added too late?"})
	})
	tell("an owner's list", func(t *testing.T) {
		j, st, m, _ := start(t, sessions.Config{Owners: owners})
		s := m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ada"))
		tok := commit(t, m, s).Token
		j.forget()
		require.NoError(t, m.Revoke(t.Context(), "ada", s.Handle()))
		j.requireTold(t, happening{hook: "Revoked", id: tok.ID})

		s = m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ada"))
		tok = commit(t, m, s).Token
		j.forget()
		_, err := newManager(t, st, j.config(sessions.Config{Owners: owners})).Sessions(t.Context(), "ada") // another encryptor
		require.NoError(t, err)
		require.Len(t, j.lines, 1)
		_, cause, _ := strings.Cut(j.lines[0], " err=")
		require.Contains(t, cause, sessions.ErrUnreadable.Error())
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: cause})
	})
	tell("an owner's limit", func(t *testing.T) {
		j, _, m, _ := start(t, sessions.Config{Owners: owners, MaxSessionsPerOwner: 1, Overflow: sessions.EndOldest})
		login := func() sessions.ID {
			s := m.New()
			require.NoError(t, s.SetOwner(t.Context(), "ada"))
			return commit(t, m, s).Token.ID
		}
		first := login()
		j.forget()
		second := login()
		j.requireTold(t, happening{hook: "Revoked", id: first, text: "INFO session ended by a newer login of its owner, who has as many as are allowed"},
			happening{hook: "Created", id: second, attempts: 1})
	})
	tell("a copy while the store is down", func(t *testing.T) {
		j, st, m, _ := start(t, sessions.Config{CookieCache: time.Second, CookieCacheFallback: time.Minute})
		s := m.New()
		increment(t, s)
		tok := commit(t, m, s).Token
		time.Sleep(10 * time.Second)
		j.forget()
		st.before = on("load", 1, func() error { return errOutage })
		load(t, m, tok)
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage}, happening{hook: "Loaded", id: tok.ID})
	})
	tell("a copy is confirmed", func(t *testing.T) {
		j, st, m, _ := start(t, sessions.Config{CookieCache: time.Minute})
		s := m.New()
		increment(t, s)
		tok := commit(t, m, s).Token
		j.forget()
		s = loaded(t, j, m, tok)
		st.before = on("load", 1, func() error { return errOutage })
		require.ErrorIs(t, midway(t, m, s), stores.ErrUnavailable)
		j.requireTold(t, happening{hook: "StoreError", id: tok.ID, err: outage})
		require.NoError(t, midway(t, m, s), "it can be asked again")
		j.requireTold(t)
	})
}
