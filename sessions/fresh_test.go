package sessions_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// asked is a store that notes how it is asked.
type asked struct {
	*store
	mu    sync.Mutex
	asked []stores.Freshness
}

func (a *asked) Place() stores.Place { return stores.Place{Name: "asked", Server: a, StaleReads: true} }

func (a *asked) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	a.mu.Lock()
	a.asked = append(a.asked, f)
	a.mu.Unlock()
	return a.store.Load(ctx, key, f)
}

// What a commit looks for, it looks for on the server itself: a replica may be behind.
func TestCommitsAskTheServerItself(t *testing.T) {
	for what, change := range map[string]func(*sessions.Session) error{
		"save":       func(s *sessions.Session) error { return name.Set(s, "Bob") },
		"regenerate": func(s *sessions.Session) error { return s.Regenerate() },
		"destroy":    func(s *sessions.Session) error { s.Destroy(); return nil },
	} {
		for _, op := range []string{"save", "move", "end"} {
			st := &asked{store: newStore(t)}
			ring := newRing(t)
			m, other := newManager(t, st, sessions.Config{Encryptor: ring}), newManager(t, st, sessions.Config{Encryptor: ring})
			tok := begin(t, m)
			s, first := load(t, m, tok), load(t, other, tok)
			increment(t, first)
			commit(t, other, first)
			require.NoError(t, change(s), what)
			st.after = on(op, 1, func() error { return errOutage })
			st.asked = nil
			_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.NoError(t, err, what)
			require.NotEmpty(t, st.asked, what)
			require.NotContains(t, st.asked, stores.MayBeStale, what)
		}
	}
}

// behind is a store whose replica has stopped at some moment.
type behind struct {
	*store
	was map[stores.Key]stores.Record
}

func (b behind) Place() stores.Place {
	return stores.Place{Name: "behind", Server: b, StaleReads: true}
}

func (b behind) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	if f == stores.Fresh {
		return b.store.Load(ctx, key, f)
	}
	rec, ok := b.was[key]
	if !ok {
		return rec, stores.ErrNotFound
	}
	rec.Data = bytes.Clone(rec.Data)
	return rec, nil
}

// What a replica does not know, or says to have ended, the server itself is asked for.
func TestAReplicaIsBehind(t *testing.T) {
	st := behind{newStore(t), map[stores.Key]stores.Record{}}
	m := newManager(t, st, sessions.Config{})
	tok := begin(t, m)
	requireCount(t, m, tok, 1)
	st.was[tok.ID.Key()] = stores.Record{Data: record.Stub{At: time.Now()}.Data(), Expires: time.Now().Add(time.Hour), Revision: "x"}
	requireCount(t, m, tok, 1)
	delete(st.was, tok.ID.Key())
	unknown := tok
	unknown.ID = m.New().ID()
	requireRejected(t, m, unknown, sessions.Unknown)
}
