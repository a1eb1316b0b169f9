package sessions_test

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	count = sessions.Key[int]("count")
	name  = sessions.Key[string]("name")
)

var errOutage = errors.Join(stores.ErrUnavailable, errors.New("connection refused"))

// call is one call of a store.
type call struct {
	op  string // "load", "save", "delete", "touch"
	tok stores.Token
	rec stores.Record   // of a save
	rev stores.Revision // of a save, delete or touch
}

// store is a memstore with a function before and one after each call. The first
// can keep the call from being carried out; the error of the second takes the
// place of the reply. Either may be nil.
type store struct {
	*memstore.Store
	before, after func(context.Context, call) error

	loads, saves, deletes, touches atomic.Int32
}

func newStore(t testing.TB) *store {
	mem, err := memstore.New()
	require.NoError(t, err)
	return &store{Store: mem}
}

// Describe says that calls may wait, as the functions can make them.
func (s *store) Describe() stores.Info {
	return stores.Info{Name: "memory", Sealing: stores.SealOptional}
}

func (s *store) writes() int { return int(s.saves.Load() + s.deletes.Load() + s.touches.Load()) }

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
	if s.after != nil {
		return s.after(ctx, c)
	}
	return nil
}

func (s *store) Load(ctx context.Context, tok stores.Token) (rec stores.Record, err error) {
	s.loads.Add(1)
	err = s.around(ctx, call{op: "load", tok: tok}, func() error {
		rec, err = s.Store.Load(ctx, tok)
		return err
	})
	return rec, err
}

func (s *store) Save(ctx context.Context, tok stores.Token, rec stores.Record) (got stores.Token, rev stores.Revision, err error) {
	s.saves.Add(1)
	err = s.around(ctx, call{op: "save", tok: tok, rec: rec, rev: rec.Revision}, func() error {
		got, rev, err = s.Store.Save(ctx, tok, rec)
		return err
	})
	return got, rev, err
}

func (s *store) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	s.deletes.Add(1)
	return s.around(ctx, call{op: "delete", tok: tok, rev: rev}, func() error { return s.Store.Delete(ctx, tok, rev) })
}

func (s *store) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (got stores.Revision, err error) {
	s.touches.Add(1)
	err = s.around(ctx, call{op: "touch", tok: tok, rev: rev}, func() error {
		got, err = s.Store.Touch(ctx, tok, rev, expires)
		return err
	})
	return got, err
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

func (clientStore) Describe() stores.Info {
	return stores.Info{Name: "client", Sealing: stores.SealAlways}
}

func (clientStore) ClientHolds(stores.Token, stores.Revision, int, int) bool { return true }

func (clientStore) Load(_ context.Context, tok stores.Token) (stores.Record, error) {
	if tok.Payload == "" {
		return stores.Record{}, stores.ErrNotFound
	}
	data, err := tok.DecodePayload()
	return stores.Record{Data: data}, err
}

func (clientStore) Save(_ context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	tok.Payload = stores.EncodePayload(rec.Data)
	return tok, "", stores.CheckExpires(rec)
}

func (clientStore) Delete(context.Context, stores.Token, stores.Revision) error {
	return errors.New("nobody can delete what the client holds")
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
		Conflict: e.add("conflict"), Regenerated: e.add("regenerated"), Destroyed: e.add("destroyed"), Ended: e.add("ended"),
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

// begin stores a session with count 1 and name Ada and returns its token.
func begin(t testing.TB, m *sessions.Manager) stores.Token {
	s := m.New()
	require.NoError(t, count.Set(s, 1))
	require.NoError(t, name.Set(s, "Ada"))
	change := commit(t, m, s)
	require.Equal(t, sessions.Replace, change.Action)
	return change.Token
}

// received is a token as the client sends it back.
func received(t testing.TB, tok stores.Token) stores.Token {
	tok, _, err := stores.ParseToken(tok.Value(nil))
	require.NoError(t, err)
	return tok
}

func load(t testing.TB, m *sessions.Manager, tok stores.Token) *sessions.Session {
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
func requireCount(t testing.TB, m *sessions.Manager, tok stores.Token, want int) {
	t.Helper()
	n, err := count.Get(load(t, m, tok))
	require.NoError(t, err)
	require.Equal(t, want, n)
}

// requireRejected checks that tok names no live session.
func requireRejected(t testing.TB, m *sessions.Manager, tok stores.Token, reason sessions.Reason) {
	t.Helper()
	_, err := m.Load(context.Background(), received(t, tok))
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, reason, r.Reason, "%v", err)
}

func secretTexts(id stores.ID) []string {
	secret := id.AppendSecret(nil)
	return []string{
		base64.RawURLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret),
		string(secret), hexText(secret),
	}
}
