package sessions_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	count = sessions.Key[int]("count")
	name  = sessions.Key[string]("name")
)

// many is how often something is done: in every run, and in make soak.
func many(always, soaking int) int {
	if os.Getenv("BULLA_SOAK") == "1" {
		return soaking
	}
	return always
}

var errOutage = errors.Join(stores.ErrUnavailable, errors.New("connection refused"))

// call is one call of a store.
type call struct {
	op  string // "load", "save", "move" and "end" (Saves of stubs), "put", "touch"; of an index "add", "list", "remove"
	key stores.Key
	rec stores.Record   // of a write
	rev stores.Revision // of a write or touch
}

// store is a memstore with a function before and one after each call. The first
// can keep the call from being carried out; the error of the second takes the
// place of the reply. Either may be nil.
type store struct {
	*memstore.Store
	before, after func(context.Context, call) error

	loads, saves, moves, ends, puts, touches atomic.Int32

	mu   sync.Mutex
	keys map[stores.Key]bool // of all that was ever written
}

func newStore(t testing.TB) *store {
	mem, err := memstore.New()
	require.NoError(t, err)
	return &store{Store: mem, keys: make(map[stores.Key]bool)}
}

// Place says that calls may wait, as the functions can make them.
func (s *store) Place() stores.Place { return stores.Place{Name: "memory", Server: s} }

func (s *store) writes() int {
	return int(s.saves.Load() + s.moves.Load() + s.ends.Load() + s.puts.Load() + s.touches.Load())
}

// Len returns the number of sessions that are alive in the store: stubs and owners'
// epochs are none.
func (s *store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.keys {
		rec, err := s.Store.Load(context.Background(), key, stores.Fresh)
		_, isStub := record.ParseStub(rec.Data)
		if err == nil && !isStub && !isEpoch(rec.Data) {
			n++
		}
	}
	return n
}

func isEpoch(data []byte) bool {
	var number, kept, since uint64
	n, _ := fmt.Sscan(string(data), &number, &kept, &since)
	return n == 3
}

func (s *store) around(ctx context.Context, c call, do func() error) error {
	if s.before != nil {
		if err := s.before(ctx, c); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // as a client over the network does
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if len(c.rec.Data) > 0 {
		s.mu.Lock()
		s.keys[c.key] = true
		s.mu.Unlock()
	}
	if s.after != nil {
		return s.after(ctx, c)
	}
	return nil
}

func (s *store) Load(ctx context.Context, key stores.Key, f stores.Freshness) (rec stores.Record, err error) {
	s.loads.Add(1)
	err = s.around(ctx, call{op: "load", key: key}, func() error {
		rec, err = s.Store.Load(ctx, key, f)
		return err
	})
	return rec, err
}

func (s *store) Save(ctx context.Context, key stores.Key, rec stores.Record) (rev stores.Revision, err error) {
	op, n := "save", &s.saves
	if stub, ok := record.ParseStub(rec.Data); ok && stub.Moved() {
		op, n = "move", &s.moves
	} else if ok {
		op, n = "end", &s.ends
	}
	n.Add(1)
	err = s.around(ctx, call{op, key, rec, rec.Revision}, func() error {
		rev, err = s.Store.Save(ctx, key, rec)
		return err
	})
	return rev, err
}

func (s *store) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	s.puts.Add(1)
	return s.around(ctx, call{op: "put", key: key, rec: rec}, func() error { return s.Store.Put(ctx, key, rec) })
}

func (s *store) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (got stores.Revision, err error) {
	s.touches.Add(1)
	err = s.around(ctx, call{op: "touch", key: key, rev: rev}, func() error {
		got, err = s.Store.Touch(ctx, key, rev, expires)
		return err
	})
	return got, err
}

func (s *store) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (number uint64, err error) {
	err = s.around(ctx, call{op: "add", key: owner}, func() error {
		number, err = s.Store.AddEntry(ctx, owner, e)
		return err
	})
	return number, err
}

func (s *store) Entries(ctx context.Context, owner stores.Key) (list []stores.Entry, err error) {
	err = s.around(ctx, call{op: "list", key: owner}, func() error {
		list, err = s.Store.Entries(ctx, owner)
		return err
	})
	return list, err
}

func (s *store) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	return s.around(ctx, call{op: "remove", key: owner}, func() error { return s.Store.RemoveEntries(ctx, owner, keys...) })
}

// end ends a session behind the manager's back.
func (s *store) end(t testing.TB, key stores.Key) {
	t.Helper()
	now := time.Now()
	require.NoError(t, s.Store.Put(context.Background(), key, stores.Record{Data: record.Stub{At: now}.Data(), Expires: now.Add(10 * time.Minute)}))
}

// on returns a function for before or after that does f at the nth call of op.
func on(op string, nth int32, f func() error) func(context.Context, call) error {
	var n atomic.Int32
	return func(_ context.Context, c call) error {
		if c.op == op && n.Add(1) == nth {
			return f()
		}
		return nil
	}
}

// down returns a function for before or after that fails all calls of these ops.
func down(err error, ops ...string) func(context.Context, call) error {
	return func(_ context.Context, c call) error {
		if slices.Contains(ops, c.op) {
			return err
		}
		return nil
	}
}

// gate stops whoever comes to wait until it is opened.
type gate struct{ reached, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) wait() error {
	close(g.reached)
	<-g.open
	return nil
}

// clientStore puts every record into the token.
type clientStore struct{}

func (c clientStore) Place() stores.Place { return stores.Place{Name: "client", Cookie: c} }

func (clientStore) Encode(data, _ []byte) (string, error) { return payload.Encode(data), nil }

func (clientStore) Decode(text string, _ []byte) ([]byte, bool, error) {
	data, err := payload.Decode(text)
	return data, false, err
}

// events counts what hooks are told.
type events struct {
	mu   sync.Mutex
	list map[string][]sessions.Event
}

func (e *events) add(kind string) func(context.Context, sessions.Event) {
	return func(_ context.Context, ev sessions.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.list == nil {
			e.list = make(map[string][]sessions.Event)
		}
		e.list[kind] = append(e.list[kind], ev)
	}
}

func (e *events) of(kind string) []sessions.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[kind]
}

func (e *events) hooks() sessions.Hooks {
	return sessions.Hooks{
		Loaded: e.add("loaded"), Created: e.add("created"), Saved: e.add("saved"), Touched: e.add("touched"),
		Conflict: e.add("conflict"), Regenerated: e.add("regenerated"), Destroyed: e.add("destroyed"), Revoked: e.add("revoked"), Ended: e.add("ended"),
		Rejected: e.add("rejected"), LateChange: e.add("late change"), Refused: e.add("refused"), StoreError: e.add("store error"),
	}
}

func newRing(t testing.TB) *encrypt.Keyring {
	ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return ring
}

// newManager returns a manager that encrypts unless c says how.
func newManager(t testing.TB, st stores.Store, c sessions.Config) *sessions.Manager {
	if c.Encryptor == nil && !c.WithoutEncryption {
		c.Encryptor = newRing(t)
	}
	m, err := sessions.NewManager(st, c)
	require.NoError(t, err)
	return m
}

// setup returns a store and a manager of it.
func setup(t testing.TB, c sessions.Config) (*store, *sessions.Manager) {
	st := newStore(t)
	return st, newManager(t, st, c)
}

// processes returns a store and managers of it in two processes: they share no queue.
func processes(t testing.TB, c sessions.Config) (st *store, m, other *sessions.Manager) {
	if c.Encryptor == nil {
		c.Encryptor = newRing(t)
	}
	st = newStore(t)
	m = newManager(t, st, c)
	c.Hooks = sessions.Hooks{}
	return st, m, newManager(t, st, c)
}

// begin stores a session with count 1 and name Ada and returns its token.
func begin(t testing.TB, m *sessions.Manager) token.Token {
	s := m.New()
	require.NoError(t, count.Set(s, 1))
	require.NoError(t, name.Set(s, "Ada"))
	change := commit(t, m, s)
	require.Equal(t, sessions.Replace, change.Action)
	return change.Token
}

// received is a token as the client sends it back.
func received(t testing.TB, tok token.Token) token.Token {
	tok, _, err := token.Parse(tok.Value(nil))
	require.NoError(t, err)
	return tok
}

func load(t testing.TB, m *sessions.Manager, tok token.Token) *sessions.Session {
	t.Helper()
	s, err := m.Load(context.Background(), received(t, tok))
	require.NoError(t, err)
	return s
}

func commit(t testing.TB, m *sessions.Manager, s *sessions.Session) sessions.Change {
	t.Helper()
	change, err := m.Commit(context.Background(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	return change
}

func increment(t testing.TB, s *sessions.Session) {
	t.Helper()
	_, err := count.Update(s, func(n int) int { return n + 1 })
	require.NoError(t, err)
}

// requireCount checks what the store has.
func requireCount(t testing.TB, m *sessions.Manager, tok token.Token, want int) {
	t.Helper()
	n, err := count.Get(load(t, m, tok))
	require.NoError(t, err)
	require.Equal(t, want, n)
}

// requireRejected checks that tok names no live session.
func requireRejected(t testing.TB, m *sessions.Manager, tok token.Token, reason sessions.Reason) {
	t.Helper()
	_, err := m.Load(context.Background(), received(t, tok))
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, reason, r.Reason, "%v", err)
}

func secretTexts(id sessions.ID) []string {
	secret := id.AppendSecret(nil)
	return []string{
		base64.RawURLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret),
		string(secret), hexText(secret),
	}
}
