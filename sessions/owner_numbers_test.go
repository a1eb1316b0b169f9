package sessions_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// perList is an index that numbers each list from 1 on, as the contract allows.
type perList struct {
	stores.OwnerIndex
	mu   sync.Mutex
	last map[stores.Key]uint64
	have map[[2]stores.Key]uint64
}

func newPerList(index stores.OwnerIndex) *perList {
	return &perList{OwnerIndex: index, last: map[stores.Key]uint64{}, have: map[[2]stores.Key]uint64{}}
}

func (p *perList) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	place := [2]stores.Key{owner, e.Key}
	if e.Number == 0 {
		e.Number = p.have[place]
	}
	if e.Number == 0 {
		e.Number = p.last[owner] + 1
	}
	n, err := p.OwnerIndex.AddEntry(ctx, owner, e)
	if err == nil {
		p.have[place], p.last[owner] = n, max(p.last[owner], n)
	}
	return n, err
}

func (p *perList) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range keys {
		delete(p.have, [2]stores.Key{owner, key})
	}
	return p.OwnerIndex.RemoveEntries(ctx, owner, keys...)
}

// numbered is a store whose index numbers each list by itself.
type numbered struct {
	*store
	index *perList
}

func (n numbered) Place() stores.Place { return stores.Place{Name: "numbered", Server: n} }

func (n numbered) AddEntry(ctx context.Context, owner stores.Key, e stores.Entry) (uint64, error) {
	return n.index.AddEntry(ctx, owner, e)
}

func (n numbered) RemoveEntries(ctx context.Context, owner stores.Key, keys ...stores.Key) error {
	return n.index.RemoveEntries(ctx, owner, keys...)
}

func newNumbered(t testing.TB) numbered {
	st := newStore(t)
	return numbered{st, newPerList(st)}
}

// Two lists of one user, under two keys, number their entries each from 1 on. All the
// same each session has a number of its own, and a later login a greater one.
func TestNumbersAcrossKeys(t *testing.T) {
	old, fresh := encrypt.GenerateKey(), encrypt.GenerateKey()
	start := func(t *testing.T, change func(*sessions.Config)) (with func(...encrypt.Key) *ownersOf) {
		store, ring := newNumbered(t), newRing(t)
		return func(keys ...encrypt.Key) *ownersOf {
			return newOwnersOf(t, store, func(c *sessions.Config) {
				if c.Owners, c.Encryptor = keys, ring; change != nil {
					change(c)
				}
			})
		}
	}
	for name, keys := range map[string][2][]encrypt.Key{
		"the new key first": {{old}, {fresh, old}},
		"the new key last":  {{fresh, old}, {old, fresh}}, // the other half of a roll-out
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("list", func(t *testing.T) {
				with := start(t, nil)
				a := with(keys[0]...)
				a.login("ann", "1")
				a.login("ann", "2")
				o := with(keys[1]...)
				o.login("ann", "3")
				require.Equal(t, "3,2,1", o.labels("ann"))
			})
			t.Run("RevokeOthers", func(t *testing.T) {
				with := start(t, nil)
				before := with(keys[0]...).login("ann", "1")
				o := with(keys[1]...)
				s := o.load(o.login("ann", "2"))
				n, err := o.m.RevokeOthers(t.Context(), s)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				commit(t, o.m, s)
				o.dead(before)
			})
			t.Run("Revoke", func(t *testing.T) {
				with := start(t, nil)
				before := with(keys[0]...).login("ann", "1")
				o := with(keys[1]...)
				tok := o.login("ann", "2")
				require.NoError(t, o.m.Revoke(t.Context(), "ann", o.load(before).Handle()))
				o.dead(before)
				o.load(tok)
			})
			t.Run("EndOldest", func(t *testing.T) {
				with := start(t, func(c *sessions.Config) { c.MaxSessionsPerOwner, c.Overflow = 2, sessions.EndOldest })
				a := with(keys[0]...)
				first, second := a.login("ann", "1"), a.login("ann", "2")
				o := with(keys[1]...)
				third := o.login("ann", "3")
				o.dead(first)
				o.load(second)
				o.load(third)
			})
			t.Run("RefuseNew", func(t *testing.T) {
				with := start(t, func(c *sessions.Config) { c.MaxSessionsPerOwner = 2 })
				a := with(keys[0]...)
				a.login("ann", "1")
				a.login("ann", "2")
				m := with(keys[1]...).m
				s := m.New()
				require.NoError(t, s.SetOwner(t.Context(), "ann"))
				_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
				require.ErrorIs(t, err, sessions.ErrTooManySessions)
			})
		})
	}
}

// So it is also with logins at the same time, half of them under one key first and
// half under the other.
func TestNumbersAcrossKeysAtOnce(t *testing.T) {
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	store, ring := newNumbered(t), newRing(t)
	var managers [2]*ownersOf
	for i, keys := range [][]encrypt.Key{{a, b}, {b, a}} {
		managers[i] = newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, ring })
	}
	var wg sync.WaitGroup
	tokens := make([]token.Token, 16)
	for i := range tokens {
		wg.Go(func() { tokens[i] = managers[i%2].login("ann", "x") })
	}
	wg.Wait()
	list, err := managers[0].m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, list, len(tokens), "two of one number would be one session")
	s := managers[0].load(tokens[0])
	n, err := managers[0].m.RevokeOthers(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, len(tokens)-1, n)
}

// A session that is only read is filed under the new key, too: when the old one is
// taken out it would be alive, and on no list.
func TestOwnerKeysRotateWhereEveryRequestReads(t *testing.T) {
	for _, cache := range []time.Duration{0, time.Minute} {
		store, ring := newStore(t), newRing(t)
		a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
		with := func(keys ...encrypt.Key) *ownersOf {
			return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor, c.CookieCache = keys, ring, cache })
		}
		tok := with(a).login("ann", "phone")
		both := with(b, a)
		s := both.load(tok)
		if c := commit(t, both.m, s); cache > 0 {
			tok = c.Token
		}
		saves := store.saves.Load()
		both.use(tok, 0)
		require.Equal(t, saves, store.saves.Load(), "once is enough")
		last := with(b)
		require.Equal(t, "phone", last.labels("ann"))
		n, err := last.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
}

// A session that goes from one list into another while they are read is seen, whichever
// way it goes.
func TestRevokeAllCrossesAChangeOfTheList(t *testing.T) {
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	for _, reader := range [][]encrypt.Key{{a, b}, {b, a}} {
		for _, writer := range [][]encrypt.Key{{a, b}, {b, a}} {
			for nth := range int32(3) {
				store, ring := newStore(t), newRing(t)
				with := func(keys ...encrypt.Key) *ownersOf {
					return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, ring })
				}
				tok := with(writer[1], writer[0]).login("ann", "phone")
				store.after = on("list", nth+1, func() error {
					with(writer...).use(tok, 1)
					return nil
				})
				n, err := with(reader...).m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
				require.Equal(t, 1, n)
				store.after = nil
				with(reader...).dead(tok)
			}
		}
	}
}

// Whoever ends the others three times is not out for it, in whatever order the
// requests are committed.
func TestRevokeOthersAtOnce(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	tok := o.login("ann", "phone")
	requests := []*sessions.Session{o.load(tok), o.load(tok), o.load(tok)}
	for _, s := range requests {
		_, err := o.m.RevokeOthers(t.Context(), s)
		require.NoError(t, err)
	}
	for i := range requests {
		commit(t, o.m, requests[len(requests)-1-i])
	}
	s := o.load(tok)
	require.NoError(t, s.Regenerate())
	commit(t, o.m, s)
}

// An epoch never goes back: a login that an end must not let live would.
func TestEpochsGrow(t *testing.T) {
	for what, last := range map[string]func(*ownersOf, *sessions.Session) error{
		"all": func(o *ownersOf, _ *sessions.Session) error {
			_, err := o.m.RevokeAll(o.t.Context(), "ann")
			return err
		},
		"others": func(o *ownersOf, s *sessions.Session) error { _, err := o.m.RevokeOthers(o.t.Context(), s); return err },
	} {
		t.Run(what, func(t *testing.T) {
			store := newStore(t)
			o := newOwnersOf(t, store, nil)
			_, err := o.m.RevokeAll(t.Context(), "ann") // so that there is one
			require.NoError(t, err)
			own := o.load(o.login("ann", "phone"))
			s := o.m.New()
			store.after = on("load", 1, func() error { // of the epoch, by the last one
				_, err := o.m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
				require.NoError(t, s.SetOwner(t.Context(), "ann"))
				_, err = o.m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
				return nil
			})
			require.NoError(t, last(o, own))
			_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded)
		})
	}
}

// A key that comes to the end of the list has no epochs yet.
func TestEpochsWhenAKeyComes(t *testing.T) {
	for _, last := range []bool{true, false} {
		store, ring := newStore(t), newRing(t)
		a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
		with := func(keys ...encrypt.Key) *ownersOf {
			return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, ring })
		}
		_, err := with(a).m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		o := with(b, a)
		if last {
			o = with(a, b)
		}
		s := o.m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ann"))
		_, err = o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
	}
}

// Epochs are counted under each key from 0 on; a session may know a greater one, of a
// key that was taken out.
func TestEpochsAcrossKeys(t *testing.T) {
	store, ring := newStore(t), newRing(t)
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	with := func(keys ...encrypt.Key) *ownersOf {
		return newOwnersOf(t, store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, ring })
	}
	old := with(a)
	for range 3 {
		_, err := old.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
	}
	tok := old.login("ann", "phone")
	with(b, a).use(tok, 1)

	last := with(b)
	before := last.load(tok) // there is no epoch under the new key yet
	require.NoError(t, before.Regenerate())
	tok = commit(t, last.m, before).Token
	for range 2 {
		s := last.load(tok)
		_, err := last.m.RevokeOthers(t.Context(), s)
		require.NoError(t, err)
		commit(t, last.m, s)
	}
	s := last.load(tok)
	require.NoError(t, s.Regenerate())
	commit(t, last.m, s)
}
